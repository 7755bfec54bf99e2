"""One ONNX node for each of cnnjax's common operations, with a plug-in for jax2onnx.

While a network is traced for ONNX, ``draw`` replaces the operations: it moves the
channels to the front, as ONNX expects them, and binds ``node_p``, a JAX primitive that
stands for one ONNX node. The plug-in writes that node into the graph. Everything else,
such as a user's own code, is left to jax2onnx.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray, Tracer
from jax.extend.core import Literal, Primitive
from jax2onnx.plugins._ir_shapes import _stamp_type_and_shape
from jax2onnx.plugins.plugin_system import PrimitiveLeafPlugin, register_primitive

from cnnjax.ops import activation
from cnnjax.ops.conv import maps as conv_maps
from cnnjax.ops.conv.problem import ConvProblem
from cnnjax.ops.gradient import CustomVJP
from cnnjax.ops.padding import span
from cnnjax.ops.pool import maps as pool_maps
from cnnjax.ops.pool.problem import PoolProblem

Pairs = tuple[tuple[int, int], ...]

node_p = Primitive("cnnjax_onnx_node")


@node_p.def_abstract_eval
def _result(x, *rest, operator, shape, attributes, integers):
    return ShapedArray(shape, x.dtype)


@register_primitive(jaxpr_primitive=node_p.name)
class NodePlugin(PrimitiveLeafPlugin):
    """Writes the node that ``node_p`` stands for."""

    def lower(self, ctx: Any, eqn: Any) -> None:
        """Adds the node of one equation to the graph."""
        parameters, result = eqn.params, eqn.outvars[0]
        inputs = [ctx.get_value_for_var(var) for var in eqn.invars]
        if integers := parameters["integers"]:
            name = ctx.fresh_name("integers")
            inputs.insert(1, ctx.builder.const_i64(name, integers))
        write = getattr(ctx.builder, parameters["operator"])
        y = write(
            *inputs,
            _outputs=[ctx.get_value_for_var(result).name],
            **dict(parameters["attributes"]),
        )
        y.type = inputs[0].type
        _stamp_type_and_shape(y, result.aval.shape)
        ctx.bind_value_for_var(result, y)


def node(
    operator: str, *inputs: Any, shape=None, integers=(), **attributes: Any
) -> Any:
    """The result of one ONNX node.

    Args:
        operator: the name of the ONNX operator.
        inputs: arrays.
        shape: the shape of the result; by default that of the first input.
        integers: a constant int64 vector, inserted as the second input.
        attributes: those of the operator.
    """
    return node_p.bind(
        *inputs,
        operator=operator,
        shape=inputs[0].shape if shape is None else tuple(shape),
        attributes=tuple(attributes.items()),
        integers=tuple(integers),
    )


def fold_constants(closed: Any, *inputs: Any) -> list[Any]:
    """Evaluates a traced function, and computes what does not depend on its inputs.

    Transposed weights, for example, become constants of the graph instead of nodes.
    Calls of jitted functions are inlined.

    Args:
        closed: a closed jaxpr.
        inputs: tracers of the current trace, or constants.
    """
    jaxpr = closed.jaxpr
    values = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    values |= dict(zip(jaxpr.invars, inputs, strict=True))

    def value(atom):
        return atom.val if isinstance(atom, Literal) else values[atom]

    for eqn in jaxpr.eqns:
        arguments = [value(atom) for atom in eqn.invars]
        if eqn.primitive.name == "jit":
            found = fold_constants(eqn.params["jaxpr"], *arguments)
            values |= zip(eqn.outvars, found, strict=True)
            continue
        parameters = eqn.primitive.get_bind_params(eqn.params)
        varies = any(isinstance(x, Tracer) for x in arguments)
        varies |= eqn.primitive is node_p  # only a graph computes it
        stage = contextlib.nullcontext() if varies else jax.ensure_compile_time_eval()
        with stage:
            found = eqn.primitive.bind(*arguments, **parameters)
        several = eqn.primitive.multiple_results
        values |= zip(eqn.outvars, found if several else [found], strict=True)
    return [value(atom) for atom in jaxpr.outvars]


def draw(function: CustomVJP, args: tuple, kwargs: dict[str, Any]) -> Any:
    """What ``function`` computes, as ONNX nodes; see ``ops.gradient.substituted``."""
    if function.name in DRAWN and not kwargs:
        return DRAWN[function.name](*args)
    return NotImplemented


def _conv(x, kernel, problem: ConvProblem, execution: Any, bias=None):
    """Conv, or ConvTranspose if the input is dilated."""
    window, rank = problem.window(), x.ndim - 2
    inputs, outputs = kernel.shape[-2:]
    shape = (x.shape[0], outputs, *problem.y[1:-1])
    options: dict[str, Any] = {"dilations": window.dilation, "group": window.groups}
    x = _channels_first(x)
    if max(window.input_dilation) == 1:
        x, pads = _pad_outside(x, window.padding, problem.taps, 0)
        kernel = jnp.transpose(kernel, (rank + 1, rank, *range(rank)))
        options |= {"strides": window.strides, "pads": pads}
        operator = "Conv"
    else:
        reach = [n - 1 for n in span(problem.taps, window.dilation)]
        pairs = [
            (r - a, r - b) for r, (a, b) in zip(reach, window.padding, strict=True)
        ]
        if max(window.strides) > 1 or min(map(min, pairs)) < 0:
            return NotImplemented
        groups = window.groups
        kernel = jnp.flip(kernel, range(rank))
        kernel = kernel.reshape(*problem.taps, inputs, groups, outputs // groups)
        order = (rank + 1, rank, rank + 2, *range(rank))
        kernel = jnp.transpose(kernel, order)
        kernel = kernel.reshape(groups * inputs, outputs // groups, *problem.taps)
        options |= {"strides": window.input_dilation, "pads": _ends(pairs)}
        operator = "ConvTranspose"
    arrays = (x, kernel) if bias is None else (x, kernel, bias)
    return _channels_last(node(operator, *arrays, shape=shape, **options))


def _biased(x, kernel, bias, problem: ConvProblem, execution: Any):
    return _conv(x, kernel, problem, execution, bias)


def _biased_relu(x, kernel, bias, problem: ConvProblem, execution: Any):
    y = _conv(x, kernel, problem, execution, bias)
    return y if y is NotImplemented else node("Relu", y)


def _max_pool(x, problem: PoolProblem):
    return _pool("MaxPool", x, problem, -np.inf), None


def _window_sum(x, problem: PoolProblem):
    count = np.asarray(np.prod(problem.taps), x.dtype)
    return count * _pool("AveragePool", x, problem, 0, count_include_pad=1)


def _pool(operator, x, problem: PoolProblem, filling, **options):
    window = problem.window
    shape = (x.shape[0], x.shape[-1], *problem.positions)
    x, pads = _pad_outside(_channels_first(x), window.padding, problem.taps, filling)
    options |= {"kernel_shape": problem.taps, "strides": window.strides, "pads": pads}
    if max(window.dilation) > 1:
        options["dilations"] = window.dilation
    return _channels_last(node(operator, x, shape=shape, **options))


def _normalize(x, mean, variance, scale, bias, epsilon, dtype):
    """BatchNormalization, if each channel has its own moments and factors."""
    shape = (1,) * (x.ndim - 1) + x.shape[-1:]
    arrays = (scale, bias, mean, variance)
    if any(array.shape != shape for array in arrays) or x.dtype != dtype:
        return NotImplemented
    vectors = (array.reshape(-1) for array in arrays)
    y = node("BatchNormalization", _channels_first(x), *vectors, epsilon=epsilon)
    return _channels_last(y)


def _capped_relu(x, largest):
    limits = (np.asarray(limit, x.dtype) for limit in (0, largest))
    return node("Clip", x, *limits)


def _unary(operator, **attributes):
    return lambda x: node(operator, x, **attributes)


DRAWN: dict[str, Callable[..., Any]] = {
    conv_maps.forward.name: _conv,
    conv_maps.biased.name: _biased,
    conv_maps.biased_relu.name: _biased_relu,
    pool_maps.max_and_which.name: _max_pool,
    pool_maps.window_sum.name: _window_sum,
    "cnnjax.ops.norm.maps._normalize": _normalize,
    activation.relu.name: _unary("Relu"),
    activation.capped_relu.name: _capped_relu,
    activation.sigmoid.name: _unary("Sigmoid"),
    activation.tanh.name: _unary("Tanh"),
    activation.softmax.name: _unary("Softmax", axis=-1),
}


def _channels_first(x):
    return jnp.moveaxis(x, -1, 1)


def _channels_last(x):
    return jnp.moveaxis(x, 1, -1)


def _pad_outside(x, pairs: Pairs, taps, filling):
    """``x (n, c, *spatial)``, padded if needed, and the padding left to the operator.

    onnxruntime refuses operators that crop, or that pad by the window size or more.
    """
    if all(0 <= n < k for pair, k in zip(pairs, taps, strict=True) for n in pair):
        return x, _ends(pairs)
    shape = [n + sum(pair) for n, pair in zip(x.shape[2:], pairs, strict=True)]
    whole = ((0, 0), (0, 0), *pairs)
    value = np.asarray(filling, x.dtype)
    x = node("Pad", x, value, shape=(*x.shape[:2], *shape), integers=_ends(whole))
    return x, (0,) * (2 * len(taps))


def _ends(pairs) -> tuple[int, ...]:
    """Padding in ONNX's order: the starts of all axes, then their ends."""
    return tuple(n for row in zip(*pairs, strict=True) for n in row)
