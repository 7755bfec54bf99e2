"""Squared norms of each example's gradient of the parameters of one layer."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from cnnjax.ops.norm.fused import add_relu
from cnnjax.ops.padding import padding_pairs, per_axis, span
from cnnjax.typing import Array

LARGEST = 2**24
"""Numbers of the gradients of single examples that are in memory at a time."""


class Call(NamedTuple):
    """One call of a layer.

    Attributes:
        layer: on its own, without the network around it.
        method: its method's name.
        args: what it took.
        kwargs: what it took by name.
        y: what it gave, one array with the batch as its first axis.
        dy: the gradient of the loss with respect to ``y``.
    """

    layer: nn.Module
    method: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    y: Array
    dy: Array


def layer_squares(calls: list[Call], variables: Mapping[str, Any]) -> dict[str, Array]:
    """The squared norms ``(batch,)`` of the gradients of a layer's parameters, by name.

    Args:
        calls: all calls of the layer.
        variables: of the layer.

    Raises:
        ValueError: batch normalization over another axis than the last.
    """
    if isinstance(calls[0].layer, nn.BatchNorm):
        return _batch_norm_squares(calls, variables)
    params = variables["params"]
    factors = [pair for call in calls if (pair := _factors(call))]
    if len(factors) < len(calls):
        return _rule_squares(calls, variables)
    # The positions of all calls of a layer together are like those of one call.
    x, dy = (jnp.concatenate(each, axis=1) for each in zip(*factors, strict=True))
    found = {"kernel": _kernel_squares(x, dy)}
    if "bias" in params:
        found["bias"] = jnp.square(dy.sum(1)).sum((1, 2))
    return found


def _factors(call: Call) -> tuple[Array, Array] | None:
    """The arrays ``(batch, positions, groups, ...)`` whose products make up dw.

    These are the inputs, or patches of them, and the gradient of the output; ``None``
    for a layer that is not a dense layer or an ordinary convolution.
    """
    layer, x, dy = call.layer, call.args[0], call.dy
    if call.method == "and_relu":
        dy = jnp.where(call.y > 0, dy, 0)
    elif call.method != "__call__":
        return None
    x, dy = _precise(x), _precise(dy)
    if isinstance(layer, nn.Dense):
        return _in_groups(x, 1), _in_groups(dy, 1)
    if not isinstance(layer, nn.Conv) or layer.mask is not None:
        return None
    taps = layer.kernel_size
    taps = (taps,) if isinstance(taps, int) else tuple(taps)
    axes, padding = len(taps), layer.padding
    if x.ndim != axes + 2 or padding in ("CIRCULAR", "REFLECT", "CAUSAL"):
        return None
    strides = per_axis(layer.strides, axes, "strides")
    dilation = per_axis(layer.kernel_dilation, axes, "kernel_dilation")
    input_dilation = per_axis(layer.input_dilation, axes, "input_dilation")
    sizes = span(x.shape[1:-1], input_dilation)
    letters = "012"[:axes]
    patches = lax.conv_general_dilated_patches(
        x,
        taps,
        strides,
        padding_pairs(padding, sizes, span(taps, dilation), strides),
        lhs_dilation=input_dilation,
        rhs_dilation=dilation,
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
        precision=lax.Precision.HIGHEST,
    )
    groups = layer.feature_group_count
    return _in_groups(patches, groups), _in_groups(dy, groups)


def _in_groups(array: Array, groups: int) -> Array:
    """An array ``(batch, positions, groups, channels of a group)``."""
    return array.reshape(len(array), -1, groups, array.shape[-1] // groups)


def _kernel_squares(x: Array, dy: Array) -> Array:
    """``|sum_p x_np dy_np^T|^2`` for each example n, summed over groups.

    Args:
        x: ``(batch, positions, groups, inputs)``.
        dy: ``(batch, positions, groups, outputs)``.
    """
    _, positions, groups, inputs = x.shape
    outputs = dy.shape[-1]
    is_ghost = positions * (inputs + outputs) < inputs * outputs
    product = partial(jnp.einsum, precision=lax.Precision.HIGHEST)

    def square(one):
        x, dy = one
        if is_ghost:
            inner = [product("pgi,qgi->gpq", a, a) for a in (x, dy)]
            return jnp.vdot(*inner, precision=lax.Precision.HIGHEST)
        return jnp.square(product("pgi,pgo->gio", x, dy)).sum()

    numbers = groups * (2 * positions**2 if is_ghost else inputs * outputs)
    return lax.map(square, (x, dy), batch_size=max(1, LARGEST // numbers))


def _rule_squares(calls: list[Call], variables) -> dict[str, Array]:
    """Those of a layer of any kind, by its own rule, a few examples at a time."""
    params = variables["params"]
    others = {name: tree for name, tree in variables.items() if name != "params"}
    batch = len(calls[0].dy)

    def is_batch(array) -> bool:
        return getattr(array, "shape", ())[:1] == (batch,)

    flat = [jax.tree.flatten((call.args, call.kwargs)) for call in calls]
    examples = [[a for a in leaves if is_batch(a)] for leaves, _ in flat]

    def square(one):
        arrays, dys = one

        def run(params):
            outputs = []
            for call, (leaves, tree), own in zip(calls, flat, arrays, strict=True):
                rest = iter(own)
                mine = [next(rest)[None] if is_batch(a) else a for a in leaves]
                args, kwargs = jax.tree.unflatten(tree, mine)
                y, _ = call.layer.apply(
                    {"params": params, **others},
                    *args,
                    **kwargs,
                    method=call.method,
                    mutable=list(others),
                )
                outputs.append(y)
            return outputs

        gradient = jax.vjp(run, params)[1]([dy[None] for dy in dys])[0]
        return {name: squares_of_examples(g[None])[0] for name, g in gradient.items()}

    numbers = sum(array.size for array in jax.tree.leaves(params))
    return lax.map(
        square,
        (examples, [call.dy for call in calls]),
        batch_size=max(1, LARGEST // numbers),
    )


def _batch_norm_squares(calls: list[Call], variables) -> dict[str, Array]:
    """Those of batch normalization, whose moments all examples share."""
    gradients = [_batch_norm_gradients(call, variables) for call in calls]
    total = jax.tree.map(lambda *arrays: sum(arrays), *gradients)
    return {name: squares_of_examples(array) for name, array in total.items()}


def _batch_norm_gradients(call: Call, variables) -> dict[str, Array]:
    """Each example's gradient of a scale and a bias of its own."""
    layer: Any = call.layer
    x = call.args[0]
    if layer.axis not in (-1, x.ndim - 1):
        raise ValueError(
            f"the axis of a batch normalization is {layer.axis}, expected -1, the last"
        )
    kwargs = dict(call.kwargs)
    add, largest = kwargs.pop("add", None), kwargs.pop("largest", None)
    relu = call.method == "and_relu" and (largest or True)
    normalized, _ = layer.clone(use_scale=False, use_bias=False).apply(
        {"batch_stats": variables.get("batch_stats", {})},
        *call.args,
        **kwargs,
        mutable=["batch_stats"],
    )

    def run(params):
        y = _precise(normalized)
        y = y * params["scale"] if "scale" in params else y
        y = y + params["bias"] if "bias" in params else y
        return add_relu(y, add, relu)

    shape = (len(x), *[1] * (x.ndim - 2), x.shape[-1])
    own = {
        name: jnp.broadcast_to(array, shape)
        for name, array in variables["params"].items()
    }
    return jax.vjp(run, own)[1](_precise(call.dy))[0]


def squares_of_examples(array: Array) -> Array:
    """The sum of squares over all axes but the first."""
    return jnp.square(_precise(array)).reshape(len(array), -1).sum(1)


def _precise(array: Array) -> Array:
    """The array in float32 at least."""
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))
