"""Float32 copies of activations in the compiled step of a bfloat16 run.

Sums and statistics in float32 are wanted, and inside of a kernel float32 costs nothing.
A float32 array in memory that is as large as an activation costs twice its traffic.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from jax.extend import core

from cnnjax.plan.program import Instruction, Program

TILE = 8 * 128
"""Elements of a TPU's tile; smaller arrays do not count."""

_VIEWS = ("parameter", "bitcast", "get-tuple-element", "tuple", "while", "constant")


class Copy(NamedTuple):
    """Float32 arrays of one shape in memory.

    Attributes:
        sizes: of their axes.
        count: of them.
        bytes: of all of them.
        example: the instruction that gives one, as XLA prints it.
    """

    sizes: tuple[int, ...]
    count: int
    bytes: int
    example: str


def float32_copies(
    program: Program, activations: set[int], parameters: Iterable[tuple[int, ...]] = ()
) -> list[Copy]:
    """The float32 arrays in memory with as many elements as an activation.

    Args:
        program: of one device.
        activations: their numbers of elements on one device.
        parameters: the shapes of the parameters, whose gradients are float32.
    """
    gradients = {_form(shape) for shape in parameters}
    found: Counter[tuple[int, ...]] = Counter()
    examples: dict[tuple[int, ...], str] = {}
    for each, times in program.scheduled():
        if each.operation in _VIEWS or each.operation.endswith(("-start", "-done")):
            continue
        for shape, operation in zip(each.shapes, _given_by(program, each), strict=True):
            is_copy = shape.dtype == "f32" and shape.elements in activations
            if not is_copy or shape.elements <= TILE or shape.on_chip:
                continue
            if operation == "reduce":  # sums that happen to be as many
                continue
            if _form(shape.sizes) not in gradients:
                found[shape.sizes] += times
                examples.setdefault(shape.sizes, each.text)
    copies = []
    for sizes, count in found.items():
        size = 4 * math.prod(sizes)
        copies.append(Copy(sizes, count, count * size, examples[sizes]))
    return sorted(copies, key=lambda copy: -copy.bytes)


def _given_by(program: Program, each: Instruction) -> list[str]:
    """The operation that gives each result of an instruction, inside of a fusion."""
    if each.operation != "fusion":
        return [each.operation] * len(each.shapes)
    body = program.computations[each.called[0]]
    operations = {inner.name: inner.operation for inner in body}
    root = body[-1]
    if root.operation == "tuple" and len(root.operands) == len(each.shapes):
        return [operations[name] for name in root.operands]
    return [root.operation] * len(each.shapes)


def _form(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes of an array in any order of its axes."""
    return tuple(sorted(size for size in sizes if size > 1))


def activation_sizes(jaxpr: Any, rows: int) -> set[int]:
    """How many elements the bfloat16 activations of a training step have.

    Args:
        jaxpr: of the step.
        rows: examples that one device processes at a time.
    """
    return {
        aval.size
        for aval in _results(jaxpr)
        if aval.dtype == "bfloat16" and aval.shape[:1] == (rows,) and aval.ndim > 2
    }


def _results(jaxpr: Any) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        for variable in equation.outvars:
            if hasattr(variable.aval, "dtype"):
                yield variable.aval
        for inner in core.jaxprs_in_params(equation.params):
            yield from _results(inner)
