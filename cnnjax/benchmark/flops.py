"""The number of floating-point operations of a network, counted from its jaxpr.

Only the products in convolutions and dense layers count, with one multiplication and
one addition each: 2 * outputs * terms per output. Terms in the padding count, too, as
in all published numbers. A custom call hides its operations, so the stock operations
are counted, whatever implementation runs.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from flax import linen as nn
from jax.extend import core

from cnnjax.ops import backend, gradients


def count_forward(model: nn.Module, variables: Any, images: Any) -> list[int]:
    """The operations of each product of the network's inference, in order.

    Args:
        model: called as ``model(x, train=False)``.
        variables: of the network, arrays or their shapes.
        images: a batch, or its shape and dtype.
    """

    def forward(variables, x):
        return model.apply(variables, x, train=False)

    return count_products(forward, variables, images)


def count_products(
    function: Callable[..., Any], *arguments: Any, zeros: bool = True
) -> list[int]:
    """The operations of each product in ``function``, in order.

    Args:
        function: of arrays.
        arguments: arrays, or their shapes and dtypes.
        zeros: whether to count the zeros between inputs that are spread apart, as
            published numbers of transposed convolutions do. The input gradient of a
            convolution with strides has such zeros.
    """
    with gradients("autodiff"), backend("xla"):
        # A new function each time: JAX would reuse the trace of another backend.
        jaxpr = jax.make_jaxpr(lambda *arrays: function(*arrays))(*arguments)
    return list(_products(jaxpr.jaxpr, zeros))


def count_training(forward: list[int]) -> int:
    """The operations of one training step.

    Each product has two gradients with as many operations each. The input of the first
    product is the images, whose gradient is not needed.

    Args:
        forward: from ``count_forward``.
    """
    return 3 * sum(forward) - sum(forward[:1])


def _products(jaxpr: Any, zeros: bool) -> Iterator[int]:
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name == "conv_general_dilated":
            spread = math.prod(equation.params["lhs_dilation"])
            yield _of_conv(equation) // (1 if zeros else spread)
        elif name == "dot_general":
            yield _of_dot(equation)
        elif name == "scan":
            inner = list(_products(equation.params["jaxpr"].jaxpr, zeros))
            yield from inner * equation.params["length"]
        elif name == "cond":
            branches = equation.params["branches"]
            counts = [list(_products(branch.jaxpr, zeros)) for branch in branches]
            yield from max(counts, key=sum)
        else:
            for inner in core.jaxprs_in_params(equation.params):
                yield from _products(inner, zeros)


def _of_conv(equation) -> int:
    kernel = equation.invars[1].aval.shape
    numbers = equation.params["dimension_numbers"]
    outputs = numbers.rhs_spec[0]
    terms = math.prod(n for axis, n in enumerate(kernel) if axis != outputs)
    return 2 * terms * math.prod(equation.outvars[0].aval.shape)


def _of_dot(equation) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    x = equation.invars[0].aval.shape
    terms = math.prod(x[axis] for axis in contracted)
    return 2 * terms * math.prod(equation.outvars[0].aval.shape)
