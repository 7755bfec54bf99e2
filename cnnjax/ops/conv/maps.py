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
from typing import Any

import jax
import jax.numpy as jnp

from cnnjax.native import conv as native_conv
from cnnjax.ops import choice, explicit
from cnnjax.ops.activation import relu as relu_op
from cnnjax.ops.bias import add_bias
from cnnjax.ops.channels import per_channel
from cnnjax.ops.conv import (
    depthwise,
    grouped,
    im2col,
    input_dilation,
    pointwise,
    polyphase,
    xla,
    xla_by_axes,
)
from cnnjax.ops.conv.choose import Implementation, choose
from cnnjax.ops.conv.problem import ConvProblem, Execution, Map
from cnnjax.ops.gradient import custom_vjp

_MODULES: dict[str, Any] = {
    Implementation.NATIVE: native_conv,
    Implementation.NATIVE_INPUT_DILATION: input_dilation,
    Implementation.POINTWISE: pointwise,
    Implementation.DEPTHWISE: depthwise,
    Implementation.GROUPED: grouped,
    Implementation.IM2COL: im2col,
    Implementation.POLYPHASE: polyphase,
    Implementation.XLA: xla,
    Implementation.XLA_BY_AXES: xla_by_axes,
}
"""The modules that offer the maps. Any, because some offer only those they suit."""


def _chosen(which, problem, execution, *arrays):
    """The implementation of a map on each platform."""
    backend, refusal = execution.backend, explicit.refusal(*arrays)
    return {
        platform: choose(problem, which, platform, backend, refusal).implementation
        for platform in choice.PLATFORMS
    }


def _stock_forward(x, kernel, problem, execution):
    return xla.stock_forward(x, kernel, problem.window(execution.precision))


@custom_vjp("problem", "execution", stock=_stock_forward, linear=("x", "kernel"))
def forward(
    x: jax.Array, kernel: jax.Array, problem: ConvProblem, execution: Execution
) -> jax.Array:
    """y = f(x, w)."""
    chosen = _chosen(Map.FORWARD, problem, execution, x, kernel)
    window = problem.window(execution.precision)
    maps = {
        name: partial(_MODULES[name].forward, window=window)
        for name in set(chosen.values())
    }
    return choice.run(chosen, maps, x, kernel)


@custom_vjp("problem", "execution", linear=("dy", "kernel"))
def input_gradient(
    dy: jax.Array, kernel: jax.Array, problem: ConvProblem, execution: Execution
) -> jax.Array:
    """dx = g(dy, w)."""
    chosen = _chosen(Map.INPUT_GRADIENT, problem, execution, dy, kernel)
    window, sizes = problem.window(execution.precision), problem.x[1:-1]
    maps = {
        name: partial(_MODULES[name].input_gradient, window=window, sizes=sizes)
        for name in set(chosen.values())
    }
    return choice.run(chosen, maps, dy, kernel)


@custom_vjp("problem", "execution", linear=("x", "dy"))
def kernel_gradient(
    x: jax.Array, dy: jax.Array, problem: ConvProblem, execution: Execution
) -> jax.Array:
    """dw = h(x, dy)."""
    chosen = _chosen(Map.KERNEL_GRADIENT, problem, execution, x, dy)
    window, taps = problem.window(execution.precision), problem.taps
    maps = {
        name: partial(_MODULES[name].kernel_gradient, window=window, taps=taps)
        for name in set(chosen.values())
    }
    return choice.run(chosen, maps, x, dy)


def _one_by_one(x, kernel, bias, problem, execution, relu):
    y = add_bias(forward(x, kernel, problem, execution), bias)
    return relu_op(y) if relu else y


@custom_vjp(
    *("problem", "execution"),
    stock=partial(_one_by_one, relu=False),
    linear=("x bias", "kernel bias"),
)
def biased(x, kernel, bias, problem, execution) -> jax.Array:
    """y = f(x, w) + b; the compiled library writes y once."""
    return _at_once(x, kernel, bias, problem, execution, False)


@custom_vjp("problem", "execution", stock=partial(_one_by_one, relu=True))
def biased_relu(x, kernel, bias, problem, execution) -> jax.Array:
    """y = relu(f(x, w) + b); the compiled library writes y once."""
    return _at_once(x, kernel, bias, problem, execution, True)


def _at_once(x, kernel, bias, problem, execution, relu):
    chosen = _chosen(Map.FORWARD, problem, execution, x, kernel)
    if _MODULES[chosen["cpu"]] not in (native_conv, input_dilation) or 0 in problem.x:
        return _one_by_one(x, kernel, bias, problem, execution, relu)
    window = problem.window(execution.precision)
    maps = {
        name: partial(_finish, _MODULES[name], window, relu)
        for name in set(chosen.values())
    }
    return choice.run(chosen, maps, x, kernel, bias)


def _finish(implementation, window, relu, x, kernel, bias):
    if implementation in (native_conv, input_dilation):
        return implementation.forward(x, kernel, window=window, bias=bias, relu=relu)
    y = implementation.forward(x, kernel, window=window)
    y = y + per_channel(bias, y.ndim)
    return jnp.maximum(y, 0) if relu else y


def _forward_fwd(x, kernel, problem, execution):
    return forward(x, kernel, problem, execution), (x, kernel)


def _forward_bwd(problem, execution, residuals, dy):
    x, kernel = residuals
    dw = kernel_gradient(x, dy, problem, execution)
    ungrouped_3d = kernel.ndim == 5 and problem.groups == 1
    if ungrouped_3d and not explicit.is_symbolic(x.shape) and 8 * kernel.size <= x.size:
        # A GPU computes dw first and frees x. XLA would often leave dw to the end. It
        # now transposes the kernel twice, which matters if the kernel is large.
        kernel, dw = choice.barrier_on("other", (kernel, dw))
    return input_gradient(dy, kernel, problem, execution), dw


def _biased_fwd(x, kernel, bias, problem, execution):
    return biased(x, kernel, bias, problem, execution), (x, kernel, bias)


def _biased_bwd(problem, execution, residuals, dy):
    x, kernel, bias = residuals
    _, bias_rule = jax.vjp(add_bias, dy, bias)  # its value is not computed
    dy, dbias = bias_rule(dy)
    return *_forward_bwd(problem, execution, (x, kernel), dy), dbias


def _biased_relu_fwd(x, kernel, bias, problem, execution):
    y = biased_relu(x, kernel, bias, problem, execution)
    return y, (x, kernel, bias, y)


def _biased_relu_bwd(problem, execution, residuals, dy):
    *residuals, y = residuals
    return _biased_bwd(problem, execution, residuals, jnp.where(y > 0, dy, 0))


def _input_gradient_fwd(dy, kernel, problem, execution):
    return input_gradient(dy, kernel, problem, execution), (dy, kernel)


def _input_gradient_bwd(problem, execution, residuals, g):
    dy, kernel = residuals
    ddy = forward(g, kernel, problem, execution)
    return ddy, kernel_gradient(g, dy, problem, execution)


def _kernel_gradient_fwd(x, dy, problem, execution):
    return kernel_gradient(x, dy, problem, execution), (x, dy)


def _kernel_gradient_bwd(problem, execution, residuals, g):
    x, dy = residuals
    dx = input_gradient(dy, g, problem, execution)
    return dx, forward(x, g, problem, execution)


forward.defvjp(_forward_fwd, _forward_bwd)
biased.defvjp(_biased_fwd, _biased_bwd)
biased_relu.defvjp(_biased_relu_fwd, _biased_relu_bwd)
input_gradient.defvjp(_input_gradient_fwd, _input_gradient_bwd)
kernel_gradient.defvjp(_kernel_gradient_fwd, _kernel_gradient_bwd)
