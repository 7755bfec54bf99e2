"""Convolution in 1, 2 or 3 dimensions: three bilinear maps, each the others' gradient.

With stride s, dilation d and padding p, for one filter w over an input x::

    y_o      = sum_k x_(s o + d k - p) w_k + b
    dL/dw_k  = sum_o dL/dy_o x_(s o + d k - p)          x * dL/dy
    dL/dx_i  = sum_(o,k : s o + d k - p = i) dL/dy_o w_k    dL/dy * rot180(w)
    dL/db    = sum_o dL/dy_o

Sums also run over the images of the batch (dw, db) and over the channels of the other
side (y over inputs, dx over outputs). In 1-D with s = d = 1 and p = 0 this is the
textbook's ``y_i = sum_j x_(i+j) w_j`` with ``dL/dw_j = sum_i dL/dy_i x_(i+j)``.

The forward map f(x, w), the input gradient g(dy, w) and the kernel gradient h(x, dy)
are linear in each argument and satisfy ``<f(x, w), dy> = <x, g(dy, w)> = <w, h(x,
dy)>``. So each one's gradients are the other two, and derivatives of any order stay in
this set.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.native import conv as conv_native
from cnnjax.ops import explicit
from cnnjax.ops.activation import relu as relu_op
from cnnjax.ops.backend import refuse
from cnnjax.ops.bias import add_bias
from cnnjax.ops.channels import per_channel
from cnnjax.ops.conv import choose, input_dilation, pointwise, xla
from cnnjax.ops.gradient import custom_vjp
from cnnjax.typing import Window


@custom_vjp("window", stock=xla.stock_forward, linear=("x", "kernel"))
def forward(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """y = f(x, w)."""
    return _run("forward", x.shape, kernel.shape, window, x, kernel)


def _one_by_one(x, kernel, bias, window, relu):
    y = add_bias(forward(x, kernel, window), bias)
    return relu_op(y) if relu else y


@custom_vjp(
    "window",
    stock=partial(_one_by_one, relu=False),
    linear=("x bias", "kernel bias"),
)
def biased(x, kernel, bias, window) -> jax.Array:
    """y = f(x, w) + b; oneDNN writes y once."""
    return _at_once(x, kernel, bias, window, False)


@custom_vjp("window", stock=partial(_one_by_one, relu=True))
def biased_relu(x, kernel, bias, window) -> jax.Array:
    """y = relu(f(x, w) + b); oneDNN writes y once."""
    return _at_once(x, kernel, bias, window, True)


def _at_once(x, kernel, bias, window, relu):
    if explicit.refusal(x, kernel):
        return _one_by_one(x, kernel, bias, window, relu)
    shapes = x.shape, kernel.shape
    native, cpu, other = _implementations("forward", *shapes, window, x.dtype)
    if native not in (cpu, other) or 0 in x.shape:
        return _one_by_one(x, kernel, bias, window, relu)
    finished = partial(native.forward, window=window, relu=relu)
    if cpu is other:
        return finished(x, kernel, bias=bias)
    return lax.platform_dependent(
        *(x, kernel, bias),
        cpu=lambda x, kernel, bias: finished(x, kernel, bias=bias),
        default=partial(_finish, other, window, relu),
    )


def _finish(implementation, window, relu, x, kernel, bias):
    y = implementation.forward(x, kernel, window=window)
    y = y + per_channel(bias, y.ndim)
    return jnp.maximum(y, 0) if relu else y


@custom_vjp("window", "sizes", linear=("dy", "kernel"))
def input_gradient(
    dy: jax.Array, kernel: jax.Array, window: Window, sizes: tuple[int, ...]
) -> jax.Array:
    """dx = g(dy, w), for an input of spatial ``sizes``."""
    shape = (dy.shape[0], *sizes, kernel.shape[-2] * window.groups)
    return _run("input_gradient", shape, kernel.shape, window, dy, kernel, sizes=sizes)


@custom_vjp("window", "taps", linear=("x", "dy"))
def kernel_gradient(
    x: jax.Array, dy: jax.Array, window: Window, taps: tuple[int, ...]
) -> jax.Array:
    """dw = h(x, dy), for a kernel of spatial size ``taps``."""
    shape = (*taps, x.shape[-1] // window.groups, dy.shape[-1])
    return _run("kernel_gradient", x.shape, shape, window, x, dy, taps=taps)


def _run(name, x_shape, kernel_shape, window, *arrays, **static):
    """The map called ``name``, for arrays of these shapes."""

    def of(implementation):
        return partial(getattr(implementation, name), window=window, **static)

    if reason := explicit.refusal(*arrays):
        if window.backend == "native":
            refuse(f"{name} of x {x_shape}", reason)
        return of(xla)(*arrays)
    dtype = arrays[0].dtype
    _, cpu, other = _implementations(name, x_shape, kernel_shape, window, dtype)
    if cpu is other:
        return of(other)(*arrays)
    return lax.platform_dependent(*arrays, cpu=of(cpu), default=of(other))


def _implementations(name, x_shape, kernel_shape, window, dtype):
    """oneDNN's, the one for a CPU, and the one for all other devices."""
    native = input_dilation if max(window.input_dilation) > 1 else conv_native
    found = native.implementation(name, x_shape, kernel_shape, window, dtype)
    if window.backend == "native":
        if found.reason:
            arrays = f"{dtype} x {x_shape} and kernel {kernel_shape} with {window}"
            refuse(f"{name} of {arrays}", found.reason)
        return native, native, native
    # Other devices have kernels for strides, which need no copy of x.
    every = max(window.strides) == 1
    product = every and pointwise.suits(kernel_shape, window)
    other = pointwise if product else xla
    faster = choose.prefers_native(name, x_shape, kernel_shape, window, found)
    if window.backend == "auto" and faster:
        return native, native, other
    return native, choose.choose(name, x_shape, kernel_shape, window), other


def _forward_fwd(x, kernel, window):
    return forward(x, kernel, window), (x, kernel)


def _forward_bwd(window, residuals, dy):
    x, kernel = residuals
    dx = input_gradient(dy, kernel, window, x.shape[1:-1])
    dkernel = kernel_gradient(x, dy, window, kernel.shape[:-2])
    return dx, dkernel


def _biased_fwd(x, kernel, bias, window):
    return biased(x, kernel, bias, window), (x, kernel, bias)


def _biased_bwd(window, residuals, dy):
    x, kernel, bias = residuals
    _, bias_rule = jax.vjp(add_bias, dy, bias)  # its value is not computed
    dy, dbias = bias_rule(dy)
    return *_forward_bwd(window, (x, kernel), dy), dbias


def _biased_relu_fwd(x, kernel, bias, window):
    y = biased_relu(x, kernel, bias, window)
    return y, (x, kernel, bias, y)


def _biased_relu_bwd(window, residuals, dy):
    *residuals, y = residuals
    return _biased_bwd(window, residuals, jnp.where(y > 0, dy, 0))


def _input_gradient_fwd(dy, kernel, window, sizes):
    return input_gradient(dy, kernel, window, sizes), (dy, kernel)


def _input_gradient_bwd(window, sizes, residuals, g):
    dy, kernel = residuals
    return forward(g, kernel, window), kernel_gradient(g, dy, window, kernel.shape[:-2])


def _kernel_gradient_fwd(x, dy, window, taps):
    return kernel_gradient(x, dy, window, taps), (x, dy)


def _kernel_gradient_bwd(window, taps, residuals, g):
    x, dy = residuals
    return input_gradient(dy, g, window, x.shape[1:-1]), forward(x, g, window)


forward.defvjp(_forward_fwd, _forward_bwd)
biased.defvjp(_biased_fwd, _biased_bwd)
biased_relu.defvjp(_biased_relu_fwd, _biased_relu_bwd)
input_gradient.defvjp(_input_gradient_fwd, _input_gradient_bwd)
kernel_gradient.defvjp(_kernel_gradient_fwd, _kernel_gradient_bwd)
