"""Transposed convolution: the input gradient of a convolution, used as a layer.

``y_i = sum_(o,k : s o + d k - p = i) x_o w_k``: each input adds its scaled kernel to
the output, s positions apart. Without ``transpose_kernel`` it adds the kernel rotated
by 180 degrees: ``s o - d k + p = i``. Either is the forward map of ``cnnjax.ops.conv``
on an input with s - 1 zeros between its values, so its gradients are those of ``conv``.
"""

import jax
from jax import lax

from cnnjax.ops import padding as pads
from cnnjax.ops.conv.conv import conv
from cnnjax.typing import Padding, Sizes


def conv_transpose(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None = None,
    *,
    strides: Sizes = 1,
    padding: Padding = "SAME",
    dilation: Sizes = 1,
    transpose_kernel: bool = False,
    precision: lax.PrecisionLike = None,
) -> jax.Array:
    """Slides ``kernel`` over a spread ``x``, as ``jax.lax.conv_transpose`` does.

    Args:
        x: ``(batch, *spatial, in)`` with 1 to 3 spatial axes.
        kernel: ``(*window, in, out)``, or ``(*window, out, in)`` with
            ``transpose_kernel``.
        bias: ``(out,)``, added at every position.
        strides: positions of the output per step of the input.
        padding: ``"SAME"`` (the output is ``strides`` times the input), ``"VALID"``,
            or what to add around the spread input, as in ``conv``.
        dilation: distance between two taps of the kernel.
        transpose_kernel: whether to rotate the kernel by 180 degrees and swap its
            channels: then this is the input gradient of the convolution with it.
        precision: as in ``jax.lax.Precision``.

    Returns:
        ``(batch, *positions, out)``.

    Raises:
        ValueError: shapes, dtypes or options that do not go together.
    """
    if not 3 <= x.ndim <= 5 or kernel.ndim != x.ndim:
        raise ValueError(
            f"x has shape {x.shape} and kernel {kernel.shape}, expected (batch,"
            " *spatial, channels) and (*window, channels, channels) with 1 to 3 spatial"
            " axes"
        )
    rank = x.ndim - 2
    strides = pads.per_axis(strides, rank, "strides")
    dilation = pads.per_axis(dilation, rank, "dilation")
    if transpose_kernel:
        kernel = lax.rev(kernel, tuple(range(rank))).swapaxes(-1, -2)
    if isinstance(padding, str):
        padding = _named(padding, pads.span(kernel.shape[:rank], dilation), strides)
    return conv(
        x,
        kernel,
        bias,
        padding=padding,
        dilation=dilation,
        input_dilation=strides,
        precision=precision,
    )


def _named(padding, covered, strides):
    """Padding around the spread input that makes the output's size the named one."""
    name = padding.upper()
    if name not in ("SAME", "VALID"):
        raise ValueError(f"padding is {padding!r}, expected SAME, VALID, or numbers")
    pairs = []
    for k, s in zip(covered, strides, strict=True):
        total = k + s - 2 + (max(k - s, 0) if name == "VALID" else 0)
        before = k - 1 if name == "VALID" or s > k - 1 else -(-total // 2)
        pairs.append((before, total - before))
    return pairs
