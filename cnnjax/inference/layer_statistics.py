"""What the layers of a network give for some examples: a table."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from cnnjax.inference.layer_outputs import output_gradients
from cnnjax.typing import Array


class LayerStatistics(NamedTuple):
    """One row of the table: the output of a layer for all examples.

    Attributes:
        layer: its name, such as ``"Conv_0"``.
        shape: of the output for one example.
        mean: of all values.
        std: their standard deviation.
        zeros: the share of values that are zero.
        units: channels.
        dead: those that no example uses at any position: their output is zero, or the
            gradient with respect to it.
        largest: the largest absolute value.
        gradient_norm: of the largest logit of an example, with respect to the layer's
            output; the mean over the examples. For a class at each pixel, of the sum of
            the largest logits.
    """

    layer: str
    shape: tuple[int, ...]
    mean: float
    std: float
    zeros: float
    units: int
    dead: int
    largest: float
    gradient_norm: float


class _Sums(NamedTuple):
    """Of one layer: per example ``(batch,)``, and per example and channel."""

    mean: Array
    variance: Array
    zeros: Array
    largest: Array
    gradient_norm: Array
    active: Array


def layer_statistics(
    model: nn.Module, variables: Mapping[str, Any], x: Array, batch_size: int = 64
) -> list[LayerStatistics]:
    """Statistics of the outputs of all layers and blocks with parameters, in order.

    Args:
        model: called as ``model(x, train=False)``.
        variables: of the network, ``{"params": ..., ...}``.
        x: normalized inputs ``(n, *spatial, channels)``.
        batch_size: examples in memory at a time.

    Example::

        >>> import jax, jax.numpy as jnp
        >>> from cnnjax.inference.layer_statistics import layer_statistics
        >>> from cnnjax.models import make_model
        >>> model = make_model("simple_cnn", num_classes=3, widths=(4,), dense=())
        >>> x = jax.random.normal(jax.random.key(1), (2, 8, 8, 1))
        >>> variables = model.init(jax.random.key(0), x, train=False)
        >>> [(row.layer, row.shape) for row in layer_statistics(model, variables, x)]
        [('Conv_0', (8, 8, 4)), ('Dense_0', (3,))]
    """
    size = min(len(x), batch_size)
    shapes: dict[str, tuple[int, ...]] = {}

    @jax.jit
    def sums(variables, x):
        outputs, (gradients, all_reach) = output_gradients(
            model, variables, x, [_largest, _every]
        )
        shapes.update({name: y.shape[1:] for name, y in outputs.items()})
        return OrderedDict(
            (name, _sums_of(y, gradients[name], all_reach[name]))
            for name, y in outputs.items()
        )

    found = []
    for start in range(0, len(x), size):
        part = np.asarray(x[start : start + size])
        padding = [(0, size - len(part))] + [(0, 0)] * (part.ndim - 1)
        one = jax.device_get(sums(variables, np.pad(part, padding)))
        found.append(jax.tree.map(lambda a: a[: len(part)], one))  # noqa: B023
    whole = jax.tree.map(lambda *arrays: np.concatenate(arrays), *found)
    return [_row(name, shapes[name], layer) for name, layer in whole.items()]


def _largest(logits: Array) -> Array:
    return jax.nn.one_hot(logits.argmax(axis=-1), logits.shape[-1])


def _every(logits: Array) -> Array:
    """A number that depends on every logit.

    Not their plain sum: in a network for two classes, what reaches one logit often
    reaches the other one with the opposite sign.
    """
    return jnp.broadcast_to(jnp.linspace(1, 2, logits.shape[-1]), logits.shape)


def _sums_of(y: Array, gradient: Array, all_reach: Array) -> _Sums:
    y, gradient = (a.astype(jnp.promote_types(a.dtype, "f4")) for a in (y, gradient))
    axes = tuple(range(1, y.ndim))
    return _Sums(
        mean=y.mean(axes),
        variance=y.var(axes),
        zeros=(y == 0).mean(axes),
        largest=jnp.abs(y).max(axes),
        gradient_norm=jnp.sqrt(jnp.square(gradient).sum(axes)),
        active=((y != 0) & (all_reach != 0)).any(axes[:-1]),
    )


def _row(name: str, shape: tuple[int, ...], sums: _Sums) -> LayerStatistics:
    means = sums.mean.astype(np.float64)
    variance = sums.variance.astype(np.float64).mean() + means.var()
    return LayerStatistics(
        layer=name,
        shape=shape,
        mean=float(means.mean()),
        std=float(np.sqrt(variance)),
        zeros=float(sums.zeros.mean()),
        units=shape[-1],
        dead=int((~sums.active.any(0)).sum()),
        largest=float(sums.largest.max()),
        gradient_norm=float(sums.gradient_norm.mean()),
    )
