"""The output of every layer of a network, and the gradient with respect to it."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnnjax.errors import ConfigError, unknown_name
from cnnjax.typing import Array

NONE: Mapping[str, Array] = {}


@dataclass
class _Outputs:
    """Notes the output of every layer and block that has parameters.

    Attributes:
        batch: examples.
        zeros: added to the outputs of these layers; the gradient with respect to them
            is that of the output.
        found: the outputs, in the order in which the calls end.
    """

    batch: int
    zeros: Mapping[str, Array]
    found: OrderedDict[str, Array] = field(default_factory=OrderedDict)
    _inside: list[tuple[str, ...]] = field(default_factory=list)

    def __call__(self, method, args, kwargs, context):
        """Flax calls this instead of each method of each layer."""
        path = context.module.path
        has_parameters = bool(context.module.variables.get("params"))
        if not path or path in self._inside or not has_parameters:
            return method(*args, **kwargs)
        self._inside.append(path)
        try:
            y = method(*args, **kwargs)
        finally:
            self._inside.pop()
        is_array = isinstance(y, jax.Array) and y.ndim > 1
        if not is_array or len(y) != self.batch:
            return y
        name = ".".join(path)
        calls = sum(each.partition(" ")[0] == name for each in self.found)
        name = f"{name} (call {calls + 1})" if calls else name
        if name in self.zeros:
            y = y + self.zeros[name]
        self.found[name] = y
        return y


def layer_outputs(
    model: nn.Module,
    variables: Mapping[str, Any],
    x: Array,
    zeros: Mapping[str, Array] = NONE,
) -> tuple[Array, OrderedDict[str, Array]]:
    """The outputs of a network, and of each of its layers and blocks with parameters.

    A block comes after its layers. A layer that is called again has ``" (call 2)"``
    after its name.

    Args:
        model: called as ``model(x, train=False)``.
        variables: of the network, ``{"params": ..., ...}``.
        x: inputs ``(batch, *spatial, channels)``.
        zeros: arrays to add to the outputs of some layers, by name.

    Example::

        >>> import jax, jax.numpy as jnp
        >>> from cnnjax.inference.layer_outputs import layer_outputs
        >>> from cnnjax.models import make_model
        >>> model = make_model("simple_cnn", num_classes=3, widths=(4,), dense=())
        >>> x = jnp.ones((2, 8, 8, 1))
        >>> variables = model.init(jax.random.key(0), x, train=False)
        >>> logits, outputs = layer_outputs(model, variables, x)
        >>> {name: y.shape for name, y in outputs.items()}
        {'Conv_0': (2, 8, 8, 4), 'Dense_0': (2, 3)}
    """
    noted = _Outputs(len(x), zeros)
    with nn.intercept_methods(noted):
        logits: Any = model.apply(variables, x, train=False)
    return logits, noted.found


def output_shapes(
    model: nn.Module, variables: Mapping[str, Any], x: Any
) -> OrderedDict[str, Any]:
    """The shapes and dtypes of the outputs that ``layer_outputs`` gives."""
    return jax.eval_shape(lambda x: layer_outputs(model, variables, x)[1], x)


def layers_with_positions(shapes: Mapping[str, Any], axes: int) -> list[str]:
    """The layers whose output has more than one position, in order.

    Args:
        shapes: see ``output_shapes``.
        axes: spatial axes of the inputs.
    """
    return [
        name
        for name, y in shapes.items()
        if y.ndim == axes + 2 and max(y.shape[1:-1]) > 1
    ]


def choose_layer(shapes: Mapping[str, Any], axes: int, name: str | None) -> str:
    """The layer of a name, or the last one whose output has positions.

    Args:
        shapes: see ``output_shapes``.
        axes: spatial axes of the inputs.
        name: with dots or slashes between the parts; ``None`` for the last layer.

    Raises:
        ConfigError: no such layer, or one without positions.
    """
    known = layers_with_positions(shapes, axes)
    if name is None:
        if not known:
            raise ConfigError(
                "no layer of the network has an output with positions, as that of a"
                " convolution has: there is nothing to draw a map of"
            )
        return known[-1]
    wanted = name.replace("/", ".")
    if wanted in known:
        return wanted
    if wanted in shapes:
        raise ConfigError(
            f"layer {wanted!r} gives an output of shape {shapes[wanted].shape[1:]},"
            " which has no positions; choose one of"
            f" {', '.join(known) or 'another network'}"
        )
    raise ConfigError(str(unknown_name("layer", name, known)))


def output_gradients(
    model: nn.Module,
    variables: Mapping[str, Any],
    x: Array,
    cotangents: Sequence[Any],
    names: Sequence[str] | None = None,
) -> tuple[OrderedDict[str, Array], list[Mapping[str, Array]]]:
    """The output of each layer, and gradients with respect to it.

    Args:
        model: called as ``model(x, train=False)``.
        variables: of the network.
        x: inputs ``(batch, ...)``.
        cotangents: functions from the network's outputs to the gradient of a number
            with respect to them.
        names: of the layers to take; by default all.

    Returns:
        The outputs, and one mapping of gradients for each of ``cotangents``.
    """
    shapes = output_shapes(model, variables, x)
    zeros = OrderedDict(
        (name, jnp.zeros(y.shape, y.dtype))
        for name, y in shapes.items()
        if names is None or name in names
    )

    def run(zeros):
        logits, outputs = layer_outputs(model, variables, x, zeros)
        kept = [(name, outputs[name]) for name in zeros]
        return logits, OrderedDict(kept)

    logits, pull, outputs = jax.vjp(run, zeros, has_aux=True)
    return outputs, [
        pull(cotangent(logits).astype(logits.dtype))[0] for cotangent in cotangents
    ]
