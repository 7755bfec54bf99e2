"""Which implementation computes a map of a pooling, and why: the table.

The C++ loops run over the channels and read each window once, in vectors; XLA on a CPU
makes one slice of the image per tap. Each map has an implementation of both kinds but
``pick``, which only second derivatives use.

A TPU has poolings in hardware (``reduce_window``, ``select_and_scatter``), which move
less memory there than slices. On a GPU they do for large windows, and for the maximum
alone, where no gradient is taken.
"""

import math
from operator import ge
from typing import Literal

from cnnjax.native import pool as native
from cnnjax.ops import explicit
from cnnjax.ops.backend import refuse
from cnnjax.ops.choice import Choice
from cnnjax.ops.pool.problem import PoolProblem, stages

Map = Literal["max_and_which", "place", "pick", "window_sum", "spread"]

MAPS: dict[str, tuple[Map, Map]] = {
    "max_pool": ("max_and_which", "place"),
    "avg_pool": ("window_sum", "spread"),
}
"""The forward map and the input gradient of each operation."""


def plan(
    problem: PoolProblem, name: Map, platform: str, obstacle: str = ""
) -> list[tuple[PoolProblem, Choice]]:
    """The poolings to run one after the other, and the implementation of each.

    The arguments are those of ``choose``. A large window is split into stages, except
    where XLA moves less memory for whole windows.
    """
    parts, window = stages(problem), problem.window
    pads = [side for pair in window.padding for side in pair]
    splits = name == "place" and max(window.dilation) > 1
    splits = splits or explicit.is_symbolic(pads) or min(pads) < 0
    if name == "pick" or platform == "cpu" or problem.backend == "native" or splits:
        return [(part, choose(part, name, platform, obstacle)) for part in parts]
    if platform == "tpu":
        operation = "select_and_scatter" if name == "place" else "reduce_window"
        return [(problem, Choice(operation, "a TPU has it in hardware"))]
    if name == "max_and_which" and not problem.for_gradient:
        return [(problem, Choice("reduce_window", "only the maximum is needed"))]
    if len(parts) > 1 and name != "place":
        reason = "a large window: its input is read once"
        return [(problem, Choice("reduce_window", reason))]
    if len(parts) > 1 and all(map(ge, window.strides, problem.taps)):
        reason = "large windows that do not overlap"
        return [(problem, Choice("select_and_scatter", reason))]
    return [(part, choose(part, name, platform, obstacle)) for part in parts]


def choose(
    problem: PoolProblem, name: Map, platform: str, obstacle: str = ""
) -> Choice:
    """The implementation of one stage of a map, ``"native"`` or ``"xla"``.

    Args:
        problem: what to compute.
        name: the map.
        platform: ``"cpu"``, ``"gpu"``, ``"cuda"``, ``"tpu"``, ...
        obstacle: why these arrays cannot go to the kernels (``explicit.refusal``).

    Raises:
        BackendError: the backend is ``"native"``, which cannot compute this.
    """
    taps = math.prod(problem.taps)
    if name == "pick":
        return Choice("xla", "there are no kernels for second derivatives")
    if problem.backend == "xla":
        return Choice("xla", "the backend is 'xla'")
    if reason := obstacle or native.refusal(problem.taps, problem.dtype):
        if problem.backend == "native":
            what = f"{problem.dtype} x of {problem.sizes} positions"
            refuse(f"{name} of {what} with windows of {problem.taps}", reason)
        return Choice("xla", reason)
    if problem.backend == "native":
        return Choice("native", "the backend is 'native'")
    if platform != "cpu":
        return Choice("xla", "the kernels are for CPUs only")
    if taps == 1:
        return Choice("xla", "a window of 1 tap is a copy")
    if problem.channels < native.FEWEST_CHANNELS:
        few = f"{problem.channels} channels do not fill a vector of"
        return Choice("xla", f"{few} {native.FEWEST_CHANNELS}")
    return Choice("native", "vectors of channels, each window read once")


def explain(
    problem: PoolProblem, operation: str = "max_pool", platform: str = "cpu"
) -> dict[str, Choice]:
    """Which implementation computes a pooling and its gradient, and why.

    Args:
        problem: from ``cnnjax.ops.pool.make_problem``.
        operation: ``"max_pool"`` or ``"avg_pool"``.
        platform: as in ``choose``.

    Returns:
        A choice for ``"forward"`` and for ``"input_gradient"``. Where a large window
        runs in stages with different implementations, both are named.

    Raises:
        BackendError: the backend is ``"native"``, which cannot compute this.

    Example:
        >>> x = jax.ShapeDtypeStruct((8, 28, 28, 4), jnp.float32)
        >>> pool.explain(pool.make_problem(x, 2))["forward"]
        Choice(implementation='xla', reason='4 channels do not fill a vector of 8')
    """
    found, problem = {}, problem._replace(for_gradient=True)
    for label, name in zip(("forward", "input_gradient"), MAPS[operation], strict=True):
        rows = [row for _, row in plan(problem, name, platform)]
        names, reasons = (dict.fromkeys(column) for column in zip(*rows, strict=True))
        found[label] = Choice(" and ".join(names), "; ".join(reasons))
    return found
