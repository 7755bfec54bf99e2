"""What a compiled program moves: through memory, and between devices."""

from collections import defaultdict
from typing import Any, NamedTuple

from cnnjax.plan.program import Instruction, Program, read_program

COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
)
_FREE = (
    "parameter",
    "constant",
    "tuple",
    "get-tuple-element",
    "bitcast",
    "after-all",
    "partition-id",
    "while",  # whose body counts
    "conditional",
    "call",
)


class Collective(NamedTuple):
    """All transfers of one kind between devices.

    Attributes:
        kind: one of ``COLLECTIVES``.
        count: how often it happens in a step.
        bytes: of all of them: of a device's whole array, before reduce-scatter and
            after the others.
    """

    kind: str
    count: int
    bytes: int


class Traffic(NamedTuple):
    """What a compiled program moves on one device.

    Attributes:
        bytes_moved: read from and written to memory.
        kernels: how many are launched.
        temporary_bytes: memory for what is neither argument nor result.
        collectives: the transfers between devices.
    """

    bytes_moved: int
    kernels: int
    temporary_bytes: int
    collectives: tuple[Collective, ...]


def measure_traffic(compiled: Any, program: Program | None = None) -> Traffic:
    """Counts what a compiled program moves.

    Each kernel reads its operands from memory and writes its results; what stays in a
    TPU's fast memory is not counted. A kernel that reads only a part of an operand is
    counted as if it read all of it.

    Args:
        compiled: from ``jax.jit(...).lower(...).compile()``.
        program: the same, if it has been read already.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x = jax.ShapeDtypeStruct((256, 256), jnp.float32)
        >>> measure_traffic(jax.jit(jnp.negative).lower(x).compile()).bytes_moved
        524288
    """
    program = program or read_program(compiled.as_text())
    moved = kernels = 0
    for each, times, bytes_moved in kernel_traffic(program):
        moved += times * bytes_moved
        kernels += times * (each.operation not in COLLECTIVES)
    return Traffic(
        moved,
        kernels,
        compiled.memory_analysis().temp_size_in_bytes,
        find_collectives(program),
    )


def kernel_traffic(program: Program) -> list[tuple[Instruction, int, int]]:
    """Each kernel, how often it runs, and the bytes that one run moves."""
    sizes: dict[str, int] = {}
    found = []
    for each, times in program.scheduled():
        result = sum(x.size for x in each.shapes if not x.on_chip)
        sizes[each.name] = result
        if each.operation in _FREE or each.operation.endswith(("-done", "-update")):
            continue
        moved = result
        # An asynchronous copy's result holds its operand, too.
        if not (each.operation.endswith("-start") and len(each.shapes) > 1):
            moved += sum(sizes.get(name, 0) for name in each.operands)
        found.append((each, times, moved))
    return found


def find_collectives(program: Program) -> tuple[Collective, ...]:
    """The transfers between devices, by kind."""
    counts: dict[str, int] = defaultdict(int)
    sizes: dict[str, int] = defaultdict(int)
    for outer, times in program.scheduled():
        for each in program.inside(outer):
            kind = each.operation.removesuffix("-start")
            if kind in COLLECTIVES:
                counts[kind] += times
                sizes[kind] += times * _transferred(program, each, kind)
    return tuple(Collective(kind, counts[kind], sizes[kind]) for kind in counts)


def _transferred(program: Program, each: Instruction, kind: str) -> int:
    """Bytes of a device's whole array, before or after the transfer."""
    result = [x.size for x in each.shapes]
    if kind == "reduce-scatter":
        operands = {*each.operands}
        return sum(
            x.size
            for instructions in program.computations.values()
            for other in instructions
            if other.name in operands
            for x in other.shapes
        )
    if each.operation == "all-gather-start":
        return sum(result[len(result) // 2 :])  # after the operands
    if each.operation == "collective-permute-start":
        return max(result)  # beside the operand, and counters
    return sum(result)
