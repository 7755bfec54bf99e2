"""The kinds of layers that ``cnnjax benchmark --layers`` shows, by their operation."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from cnnjax.benchmark.calls import Call
from cnnjax.ops import pool
from cnnjax.ops.choice import Choice
from cnnjax.ops.conv.choose import explain
from cnnjax.ops.conv.problem import Map
from cnnjax.ops.norm.choose import choose as choose_norm
from cnnjax.ops.norm.problem import make_problem as make_norm_problem

MAPS = tuple(which.value for which in Map)

CONV_FUSED = {
    "forward": "",
    "biased": " + bias",
    "biased_relu": " + bias + ReLU",
}
PRODUCT = Choice("xla", "a matrix product, for which XLA has fast kernels")
MEAN = Choice("xla", "a sum, which has only this implementation")
PER_EXAMPLE = Choice("xla", "the moments of each example have only this implementation")
SHARED = Choice("xla", "the moments are those of several devices")


class Description(NamedTuple):
    """What a call computes, and how.

    Attributes:
        title: for people.
        choices: the implementation and the reason for each map that there is.
        x: the name of the operation's input.
        kernel: the name of its kernel or scale, if it has one.
        suffix: added to the path of the calling module, where that is not the layer.
    """

    title: str
    choices: Mapping[str, Choice]
    x: str = "x"
    kernel: str | None = None
    suffix: str = ""


def _conv(call: Call, platform: str) -> Description:
    problem, execution = call.arguments["problem"], call.arguments["execution"]
    explained = partial(explain, problem, platform=platform, backend=execution.backend)
    choices = {name: explained(name) for name in MAPS}
    words = [f"conv {_times(problem.taps)}"]
    for name in ("strides", "dilation", "input_dilation"):
        words += _unless_one(name.replace("_", " "), getattr(problem, name))
    words += [f"groups {problem.groups}"] * (problem.groups > 1)
    title = ", ".join(words) + CONV_FUSED[_name(call)]
    if title.endswith("ReLU") and "native" in choices["forward"].implementation:
        title += " in one call"
    return Description(title, choices, kernel="kernel")


def _pool(call: Call, platform: str) -> Description:
    problem = call.arguments["problem"]
    is_max = _name(call) == "max_and_which"
    name = "max_pool" if is_max else "avg_pool"
    choices = pool.explain(problem, name, platform)
    words = [f"{'max' if is_max else 'average'} pool {_times(problem.taps)}"]
    words += _unless_one("strides", problem.window.strides)
    return Description(", ".join(words), choices, suffix=name)


def _global_average(call: Call, platform: str) -> Description:
    choices = dict.fromkeys(MAPS[:2], MEAN)
    return Description("global average pool", choices, suffix="global_avg_pool")


def _dense(call: Call, platform: str) -> Description:
    choices = dict.fromkeys(MAPS, PRODUCT)
    return Description("dense", choices, x="a", kernel="b")


def _batch_norm(call: Call, platform: str) -> Description:
    problem = call.arguments["problem"]
    cap = "" if problem.relu == math.inf else f"{problem.relu:g}"
    title = "batch norm" + " + shortcut" * problem.adds
    title += f" + ReLU{cap} in one call" if problem.relu else ""
    choices = dict.fromkeys(MAPS, choose_norm(problem, platform))
    return Description(title, choices, kernel="scale")


def _normalize(call: Call, platform: str) -> Description:
    """A normalization in two operations, of which ``_moments`` comes first."""
    x, dtype = call.arguments["x"], call.arguments["dtype"]
    title, choice = "layer or group norm", PER_EXAMPLE
    if set(call.arguments["mean"].shape[:-1]) <= {1}:
        title = "batch norm"
        problem = make_norm_problem(x, dtype=dtype, backend=call.backend)
        choice = choose_norm(problem, platform)
        choice = choice if choice.implementation == "xla" else SHARED
    return Description(title, dict.fromkeys(MAPS, choice), kernel="scale")


def _name(call: Call) -> str:
    return call.function.name.rpartition(".")[2]


def _times(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))


def _unless_one(name: str, sizes: tuple[int, ...]) -> list[str]:
    return [f"{name} {_times(sizes)}"] if max(sizes) > 1 else []


KINDS: Mapping[str, Callable[[Call, str], Description]] = {
    "cnnjax.ops.conv.maps.forward": _conv,
    "cnnjax.ops.conv.maps.biased": _conv,
    "cnnjax.ops.conv.maps.biased_relu": _conv,
    "cnnjax.ops.pool.maps.max_and_which": _pool,
    "cnnjax.ops.pool.maps.window_sum": _pool,
    "cnnjax.ops.pool.global_average._mean": _global_average,
    "cnnjax.ops.dense.matmul": _dense,
    "cnnjax.ops.norm.fused.fused": _batch_norm,
    "cnnjax.ops.norm.maps._normalize": _normalize,
}
MOMENTS = "cnnjax.ops.norm.maps._moments"
