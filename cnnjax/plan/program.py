"""A compiled program, read from the text that XLA prints of it."""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

_INSTRUCTION = re.compile(r"\s*(?:ROOT )?%?([\w.\-]+) = (.+?) ([a-z][\w\-]*)\((.*)")
_COMPUTATION = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{$")
_ARRAY = re.compile(r"\b([a-z]+\d*[a-z0-9]*)\[([\d,<=]*)\](\{[^}]*\})?")
_CALLED = re.compile(
    r"(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)"
)
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')


class ArrayShape(NamedTuple):
    """One array of a program.

    Attributes:
        dtype: in XLA's letters, such as ``"bf16"``.
        sizes: of its axes.
        on_chip: whether it is in the fast memory beside a TPU's core.
    """

    dtype: str
    sizes: tuple[int, ...]
    on_chip: bool = False

    @property
    def elements(self) -> int:
        """The number of values."""
        return math.prod(self.sizes)

    @property
    def size(self) -> int:
        """Bytes, without padding."""
        return self.elements * _bits(self.dtype) // 8


class Instruction(NamedTuple):
    """One instruction of a program.

    Attributes:
        name: unique in the program.
        shapes: of the arrays that it gives.
        operation: such as ``"fusion"``.
        operands: the names of its operands.
        called: the names of the computations that it calls.
        trips: how often a loop runs.
        text: the line.
    """

    name: str
    shapes: tuple[ArrayShape, ...]
    operation: str
    operands: tuple[str, ...]
    called: tuple[str, ...]
    trips: int
    text: str


class Program(NamedTuple):
    """A compiled program for one device.

    Attributes:
        computations: the instructions of each, in order.
        entry: the name of the one that runs.
        aliases: how many of its results take the memory of an argument.
    """

    computations: dict[str, list[Instruction]]
    entry: str
    aliases: int

    def scheduled(self) -> Iterator[tuple[Instruction, int]]:
        """The instructions outside fused kernels, each with how often it runs.

        These are the ones whose results are arrays in memory. Of a branch, all sides
        are given.
        """
        yield from self._scheduled(self.entry, 1)

    def _scheduled(self, name, times):
        for each in self.computations[name]:
            yield each, times
            if each.operation in ("while", "conditional", "call"):
                for inner in each.called:
                    yield from self._scheduled(inner, times * each.trips)

    def inside(self, instruction: Instruction) -> Iterator[Instruction]:
        """An instruction, and those of the kernel or asynchronous call that it is."""
        yield instruction
        if instruction.operation in ("while", "conditional", "call"):
            return  # ``scheduled`` gives theirs
        for name in instruction.called:
            for each in self.computations[name]:
                yield from self.inside(each)


def read_program(text: str) -> Program:
    """Reads what ``compiled.as_text()`` gives."""
    computations: dict[str, list[Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        if line.startswith("}"):
            current = None
        elif current is None:
            if (found := _COMPUTATION.match(line)) and " = " not in line:
                current = computations.setdefault(found[2], [])
                entry = found[2] if found[1] else entry
        elif found := _INSTRUCTION.match(line):
            current.append(_read(found))
    header = text.partition("\n")[0]
    aliases = re.findall(r"\{[\d, ]*\}: \(\d+, \{[\d, ]*\}", header)
    return Program(computations, entry, len(aliases))


def _read(found: re.Match[str]) -> Instruction:
    name, shape, operation, rest = found.groups()
    end = _closing(rest)
    operands, attributes = rest[:end], rest[end:]
    called = _CALLED.findall(attributes)
    for names in _BRANCHES.findall(attributes):
        called += re.findall(r"[\w.\-]+", names)
    trips = _TRIPS.search(attributes)
    return Instruction(
        name,
        tuple(map(_shape, _ARRAY.finditer(shape))),
        operation,
        tuple(re.findall(r"%([\w.\-]+)", operands)),
        tuple(called),
        int(trips[1]) if trips else 1,
        found[0].strip(),
    )


def _shape(found: re.Match[str]) -> ArrayShape:
    sizes = tuple(int(size.lstrip("<=")) for size in found[2].split(",") if size)
    return ArrayShape(found[1], sizes, "S(1)" in (found[3] or ""))


def _closing(text: str) -> int:
    """Where the parenthesis closes that was opened before ``text``."""
    depth = 1
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return at
    return len(text)


def _bits(dtype: str) -> int:
    if dtype == "pred":
        return 8
    digits = re.search(r"\d+", dtype)
    return int(digits[0]) if digits else 0
