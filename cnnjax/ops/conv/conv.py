"""The public convolution: checks its arguments and pads, then runs one of the maps."""

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.ops import padding as pads
from cnnjax.ops.activation import relu as relu_op
from cnnjax.ops.backend import Backend, chosen_backend
from cnnjax.ops.conv.maps import biased, biased_relu, forward
from cnnjax.ops.conv.problem import ConvProblem, Execution
from cnnjax.ops.dtype import check_one_floating
from cnnjax.ops.gradient import vary_alike
from cnnjax.typing import Padding, Sizes


def conv(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None = None,
    *,
    strides: Sizes = 1,
    padding: Padding = "SAME",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
    groups: int = 1,
    flip_kernel: bool = False,
    relu: bool = False,
    precision: lax.PrecisionLike = None,
    backend: Backend | None = None,
) -> jax.Array:
    """Slides ``kernel`` over ``x``, with hand-written gradients of every order.

    Args:
        x: ``(batch, *spatial, in)`` with 1 to 3 spatial axes.
        kernel: ``(*window, in / groups, out)`` of the same dtype.
        bias: ``(out,)``, added at every position.
        strides: positions from one output to the next.
        padding: ``"SAME"``, ``"SAME_LOWER"``, ``"VALID"``, ``"CIRCULAR"``,
            ``"REFLECT"``, ``"CAUSAL"`` (1-D: all of it before the signal), one whole
            number, or for each axis a whole number or a pair (before, after).
        dilation: distance between two taps of the kernel.
        input_dilation: distance between two inputs, with zeros between them.
        groups: number of parts the channels are split into, each on its own.
        flip_kernel: ``True`` rotates the kernel by 180 degrees: the convolution of
            mathematics textbooks. ``False`` is the cross-correlation of every
            framework.
        relu: whether to apply ReLU last.
        precision: as in ``jax.lax.Precision``.
        backend: as in ``cnnjax.ops.backend``; ``None`` is the current one.

    Returns:
        ``(batch, *positions, out)`` with the dtype of ``x``.

    Raises:
        ValueError: shapes, dtypes or options that do not go together, or an output
            without positions; or ``backend`` is ``"native"`` and cannot compute it.
    """
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    bias = None if bias is None else jnp.asarray(bias)
    _check(x, kernel, bias, groups)
    rank = x.ndim - 2
    if flip_kernel:
        kernel = lax.rev(kernel, tuple(range(rank)))
    x, problem = _describe(
        x,
        kernel,
        padding,
        strides=pads.per_axis(strides, rank, "strides"),
        dilation=pads.per_axis(dilation, rank, "dilation"),
        input_dilation=pads.per_axis(input_dilation, rank, "input_dilation"),
        groups=groups,
    )
    execution = Execution(chosen_backend(backend), precision)
    if bias is not None:
        run = biased_relu if relu else biased
        return run(*vary_alike(x, kernel, bias), problem, execution)
    y = forward(*vary_alike(x, kernel), problem, execution)
    return relu_op(y) if relu else y


def _describe(x, kernel, padding, *, strides, dilation, input_dilation, groups):
    """The padded ``x``, and the convolution of it that is left to do."""
    taps = kernel.shape[:-2]
    covered = pads.span(taps, dilation)
    name = padding.upper() if isinstance(padding, str) else ""
    if name in ("CIRCULAR", "REFLECT"):
        pairs = tuple(((k - 1) // 2, k // 2) for k in covered)
        x = pads.pad_image(x, pairs, "wrap" if name == "CIRCULAR" else "reflect")
        padding = "VALID"
    elif name == "CAUSAL":
        if len(taps) != 1:
            raise ValueError(f"CAUSAL padding is for 1-D, the kernel is {len(taps)}-D")
        padding = [((covered[0] - 1) * input_dilation[0], 0)]
    spread = pads.span(x.shape[1:-1], input_dilation)
    pairs = pads.padding_pairs(padding, spread, covered, strides)
    pads.output_sizes(spread, covered, strides, pairs)
    geometry = strides, pairs, dilation, input_dilation, groups
    return x, ConvProblem(x.shape, kernel.shape, str(x.dtype), *geometry)


def _check(x, kernel, bias, groups):
    if not 3 <= x.ndim <= 5 or kernel.ndim != x.ndim:
        raise ValueError(
            f"x has shape {x.shape} and kernel {kernel.shape}, expected (batch,"
            " *spatial, in) and (*window, in / groups, out) with 1 to 3 spatial axes"
        )
    check_one_floating(x, kernel)
    inputs, outputs = kernel.shape[-2:]
    if groups < 1 or x.shape[-1] != inputs * groups or outputs % groups:
        raise ValueError(
            f"kernel {kernel.shape} with groups={groups} expects {inputs * groups}"
            f" input channels and a multiple of {groups} outputs; x has {x.shape[-1]}"
            f" channels and the kernel {outputs} outputs"
        )
    if bias is not None and bias.shape != (outputs,):
        raise ValueError(f"bias has shape {bias.shape}, expected ({outputs},)")
