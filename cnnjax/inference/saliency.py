"""Which parts of an input an output depends on: three maps, from gradients.

With ``F`` the logit of a class and ``x`` the input, the maps are

* saliency, ``|dF/dx|`` (Simonyan et al. 2014, arXiv:1312.6034);
* integrated gradients, ``(x - b) int_0^1 dF/dx(b + t (x - b)) dt`` for a baseline ``b``
  (Sundararajan et al. 2017, arXiv:1703.01365). They sum to ``F(x) - F(b)``;
* Grad-CAM, ``relu(sum_k a_k A_k)`` with ``A_k`` a channel of a layer's output and
  ``a_k`` the mean of ``dF/dA_k`` over the positions (Selvaraju et al. 2017,
  arXiv:1610.02391). ``A_k`` is taken after the ReLU that follows, if one does.

All derivatives follow the hand-written rules of the network's layers. Compile the
functions with ``jax.jit`` for speed.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnnjax.errors import ConfigError, wrong_value
from cnnjax.inference.layer_outputs import (
    choose_layer,
    output_gradients,
    output_shapes,
)
from cnnjax.typing import Array


class IntegratedGradients(NamedTuple):
    """Shares of each input value in a logit, compared with that at the baseline.

    Attributes:
        values: like the inputs, ``(batch, *spatial, channels)``.
        sums: of the values of each example ``(batch,)``.
        differences: of the logits of input and baseline ``(batch,)``, which the sums
            approach as the number of steps grows.
    """

    values: Array
    sums: Array
    differences: Array


def saliency(
    model: nn.Module,
    variables: Mapping[str, Any],
    x: Array,
    classes: Array | None = None,
) -> Array:
    """The largest absolute gradient of a logit over the channels of each position.

    Args:
        model: called as ``model(x, train=False)``; gives logits ``(batch, classes)``.
        variables: of the network, ``{"params": ..., ...}``.
        x: normalized inputs ``(batch, *spatial, channels)``.
        classes: whose logits ``(batch,)``; by default, the largest of each example.

    Returns:
        ``(batch, *spatial)``.

    Raises:
        ValueError: classes of another shape, or outputs that are not one row per
            example.

    Example::

        >>> import jax, jax.numpy as jnp
        >>> from cnnjax.inference.saliency import saliency
        >>> from cnnjax.models import make_model
        >>> model = make_model("simple_cnn", num_classes=3, widths=(4,), dense=())
        >>> x = jnp.ones((2, 8, 8, 1))
        >>> variables = model.init(jax.random.key(0), x, train=False)
        >>> saliency(model, variables, x).shape
        (2, 8, 8)
    """
    dx = _input_gradient(model, variables, x, classes)
    return jnp.abs(dx).max(axis=-1)


def integrated_gradients(
    model: nn.Module,
    variables: Mapping[str, Any],
    x: Array,
    baseline: Array,
    classes: Array | None = None,
    *,
    steps: int = 32,
) -> IntegratedGradients:
    """The gradient of a logit, averaged on the way from a baseline to the input.

    The average is that of the middles of ``steps`` pieces of the straight line.

    Args:
        model: called as ``model(x, train=False)``; gives logits ``(batch, classes)``.
        variables: of the network.
        x: normalized inputs ``(batch, *spatial, channels)``.
        baseline: an input that shows nothing, such as a black image, normalized like
            ``x``; its shape broadcasts to that of ``x``.
        classes: whose logits ``(batch,)``; by default, the largest at ``x``.
        steps: pieces, 1 or more.

    Raises:
        ValueError: see ``saliency``, or a number of steps below 1.

    Example::

        >>> import jax, jax.numpy as jnp
        >>> from cnnjax.inference.saliency import integrated_gradients
        >>> from cnnjax.models import make_model
        >>> model = make_model("simple_cnn", num_classes=3, widths=(4,), dense=())
        >>> x = jnp.ones((2, 8, 8, 1))
        >>> variables = model.init(jax.random.key(0), x, train=False)
        >>> found = integrated_gradients(model, variables, x, jnp.zeros_like(x))
        >>> found.values.shape, bool(jnp.allclose(found.sums, found.differences))
        ((2, 8, 8, 1), True)
    """
    if steps < 1:
        raise wrong_value("steps", steps, "1 or more")
    classes = largest_logits(model, variables, x) if classes is None else classes
    way = x - baseline

    def add(total, t):
        at = baseline + t * way
        return total + _input_gradient(model, variables, at, classes), None

    middles = (jnp.arange(steps, dtype=x.dtype) + 0.5) / steps
    total, _ = jax.lax.scan(add, jnp.zeros_like(way), middles)
    values = way * total / steps
    ends = [_scores(model, variables, at, classes) for at in (x, x - way)]
    return IntegratedGradients(
        values, values.reshape(len(x), -1).sum(1), ends[0] - ends[1]
    )


def grad_cam(
    model: nn.Module,
    variables: Mapping[str, Any],
    x: Array,
    layer: str | None = None,
    classes: Array | None = None,
) -> Array:
    """Where the output of a layer supports a class.

    Where no negative value of a channel passes a gradient on, a ReLU follows, and the
    negative values count as the zeros that it makes of them.

    Args:
        model: called as ``model(x, train=False)``; gives logits ``(batch, classes)``.
        variables: of the network.
        x: normalized inputs ``(batch, *spatial, channels)``.
        layer: its name, such as ``"Conv_1"``, or that of a block; by default, the last
            one whose output has positions: the last convolution, the normalization
            after it, or the block around both.
        classes: whose logits ``(batch,)``; by default, the largest of each example.

    Returns:
        ``(batch, *positions of the layer)``, nowhere negative.

    Raises:
        ConfigError: no such layer, or one whose output has no positions.
        ValueError: see ``saliency``.

    Example::

        >>> import jax, jax.numpy as jnp
        >>> from cnnjax.inference.saliency import grad_cam
        >>> from cnnjax.models import make_model
        >>> model = make_model("simple_cnn", num_classes=3, widths=(4, 4), dense=())
        >>> x = jnp.ones((2, 8, 8, 1))
        >>> variables = model.init(jax.random.key(0), x, train=False)
        >>> grad_cam(model, variables, x).shape
        (2, 4, 4)
    """
    name = choose_layer(output_shapes(model, variables, x), x.ndim - 2, layer)
    outputs, (gradients,) = output_gradients(
        model, variables, x, [lambda logits: one_hot(logits, classes)], [name]
    )
    y, dy = outputs[name], gradients[name]
    positions = tuple(range(1, x.ndim - 1))
    passes_negative = ((y < 0) & (dy != 0)).any(positions, keepdims=True)
    y = jnp.where(passes_negative, y, jnp.maximum(y, 0))
    return jnp.maximum((dy.mean(positions, keepdims=True) * y).sum(axis=-1), 0)


def _input_gradient(model, variables, x, classes) -> Array:
    """The gradient of each example's chosen logit with respect to its input."""
    return jax.grad(lambda x: _scores(model, variables, x, classes).sum())(x)


def largest_logits(model: nn.Module, variables: Mapping[str, Any], x: Array) -> Array:
    """The class with the largest logit of each example ``(batch,)``."""
    logits: Any = model.apply(variables, x, train=False)
    return _checked(logits, None).argmax(axis=-1)


def one_hot(logits: Array, classes: Array | None) -> Array:
    """The gradient of the sum of the chosen logits with respect to all logits."""
    logits = _checked(logits, classes)
    chosen = logits.argmax(axis=-1) if classes is None else classes
    return jax.nn.one_hot(chosen, logits.shape[-1], dtype=logits.dtype)


def _scores(model, variables, x, classes) -> Array:
    """The chosen logit of each example ``(batch,)``."""
    logits = model.apply(variables, x, train=False)
    return (logits * jax.lax.stop_gradient(one_hot(logits, classes))).sum(axis=-1)


def _checked(logits: Array, classes: Array | None) -> Array:
    if logits.ndim != 2:
        raise ConfigError(
            f"the network gives outputs of shape {logits.shape}, expected one row of"
            " logits per example: which parts of an input a class depends on is not"
            " defined for a class at each pixel"
        )
    if classes is not None and jnp.shape(classes) != logits.shape[:1]:
        raise wrong_value(
            "the shape of classes", jnp.shape(classes), f"{logits.shape[:1]}"
        )
    return logits
