"""The layers of a network: sizes, and which implementation computes each of their maps.

The layers are found while the training step of the config is traced. So they are those
that train, with one device's share of a batch. Element-wise operations are left out:
XLA fuses them with their neighbors.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from cnnjax.benchmark.calls import Call, record_calls
from cnnjax.benchmark.flops import count_products
from cnnjax.benchmark.kinds import KINDS, MAPS, MOMENTS, Description
from cnnjax.benchmark.steps import Problem
from cnnjax.ops.choice import Choice
from cnnjax.train.machine.compile import lower_step

STOCK = Choice("xla", "gradients is 'autodiff': JAX's own operations and gradients")


class Layer(NamedTuple):
    """A layer as the training step runs it.

    Attributes:
        name: the path of its module; for a function, such as max-pooling, that of the
            module that calls it, and the function's name.
        title: what it computes, for people.
        input_shape: for one device's share of a batch.
        output_shape: the same.
        parameters: of its module; 0 where that has been counted for an earlier call.
        multiply_adds: of the forward map; each gradient takes as many.
        choices: for each of ``MAPS``, the implementation and the reason; ``None`` where
            there is no such map, or the step does not need it.
        x: the name of the input among the arrays of the calls.
        kernel: that of the kernel or the scale, if there is one.
        calls: the operations that run, one after the other.
    """

    name: str
    title: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    choices: dict[str, Choice | None]
    x: str
    kernel: str | None
    calls: tuple[Call, ...]


class Network(NamedTuple):
    """The layers of a network, and how often each other operation is called."""

    layers: tuple[Layer, ...]
    others: Mapping[str, int]


def find_layers(problem: Problem) -> Network:
    """The layers that the training step runs, in their order.

    Args:
        problem: from ``cnnjax.benchmark.steps.make_problem``.
    """
    with record_calls() as calls:
        lower_step(*problem)
    layers: list[Layer] = []
    others: Counter[str] = Counter()
    first: tuple[Call, ...] = ()  # the moments, whose normalization comes next
    paths: set[tuple[str, ...]] = set()
    names: Counter[str] = Counter()
    for call in calls:
        name = call.function.name
        if name == MOMENTS:
            first = (call,)
        elif name in KINDS:
            described = KINDS[name](call, problem.devices.platform)
            layer = _make_layer((*first, call), described, problem.config.gradients)
            if described.suffix:
                names[layer.name] += 1
                layer = layer._replace(name=f"{layer.name}_{names[layer.name] - 1}")
            if layer.kernel and call.path not in paths:
                count = _count_parameters(problem.state.params, call.path)
                layer = layer._replace(parameters=count)
            if not any(earlier.kernel for earlier in layers):
                # Nothing before this layer is trained.
                layer = layer._replace(choices=layer.choices | {"input_gradient": None})
            layers.append(layer)
            first = ()
            paths.add(call.path)
        else:
            others[name.rpartition(".")[2].strip("_")] += 1
    return Network(tuple(layers), others)


def _make_layer(calls, described: Description, gradients: str) -> Layer:
    call = calls[-1]
    arrays = call.arrays.values()
    choices = dict.fromkeys(MAPS) | dict(described.choices)
    if gradients == "autodiff":
        choices = {name: choice and STOCK for name, choice in choices.items()}
    path = (*call.path, described.suffix) if described.suffix else call.path
    return Layer(
        name="/".join(path) or call.module,
        title=described.title,
        input_shape=call.arrays[described.x].shape,
        output_shape=jax.tree.leaves(jax.eval_shape(call.apply, *arrays))[0].shape,
        parameters=0,
        multiply_adds=sum(count_products(call.apply, *arrays)) // 2,
        choices=choices,
        x=described.x,
        kernel=described.kernel,
        calls=calls,
    )


def _count_parameters(params: Any, path: tuple[str, ...]) -> int:
    for name in path:
        params = params.get(name, {})
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
