"""A program that holds random convolutions to NumPy: y, dx and dw by every backend.

``scripts/fuzz_conv.py`` runs it, a few problems per process, and ``test_faults.py``
a fixed few. A problem is a function of its number alone. The program writes the number
and the backend before it starts, so that it is known what ended the process.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax import ops
from cnnjax.errors import BackendError
from tests.reference import Geometry, positions
from tests.support.ops.closeness import assert_sum_close, normal
from tests.support.ops.conv import by_taps

WAYS = ("auto", "native", "xla", "autodiff")
LARGEST = {1: 12, 2: 7, 3: 4}  # spatial sizes, by rank
MOST_TAPS = {1: 6, 2: 4, 3: 3}


class Problem(NamedTuple):
    """Shapes, dtype and options of one convolution."""

    x: tuple[int, ...]
    kernel: tuple[int, ...]
    dtype: str
    where: Geometry
    groups: int

    @property
    def options(self) -> dict[str, Any]:
        """Those of ``ops.conv``."""
        return {**self.where._asdict(), "groups": self.groups}


def make_problem(number: int) -> Problem:
    """The problem of this number; half of them have neither strides nor dilations."""
    rng = np.random.default_rng(number)
    rank = int(rng.choice([1, 2, 2, 2, 3]))
    while True:
        problem = _draw(rng, rank)
        sizes, taps = problem.x[1:-1], problem.kernel[:-2]
        if all(positions(sizes, taps, problem.where)):
            return problem


def _draw(rng, rank):
    def numbers(largest):
        return tuple(int(n) for n in rng.integers(1, largest + 1, rank))

    sizes, taps = numbers(LARGEST[rank]), numbers(MOST_TAPS[rank])
    padding = rng.integers(-3, 5, (rank, 2)) * (rng.random((rank, 1)) < 0.8)
    pairs = tuple((int(low), int(high)) for low, high in padding)
    kind = rng.choice(
        ["dense", "strides", "input dilation", "all"], p=[0.4, 0.3, 0.2, 0.1]
    )
    ones = (1,) * rank
    strides = numbers(3) if kind in ("strides", "all") else ones
    input_dilation = numbers(3) if kind in ("input dilation", "all") else ones
    dilation = numbers(2) if kind != "dense" else ones
    if rng.random() < 0.2:
        strides, input_dilation, pairs = _tile(
            rng, taps, strides, input_dilation, pairs
        )
    groups = int(rng.choice([1, 1, 1, 2, 3]))
    widths = [1, 2, 3, 4, 8, 17]
    inputs, outputs = int(rng.choice(widths)), int(rng.choice(widths)) * groups
    dtype = str(rng.choice(["float32", "float64", "bfloat16"], p=[0.7, 0.15, 0.15]))
    return Problem(
        (int(rng.integers(1, 4)), *sizes, inputs * groups),
        (*taps, inputs, outputs),
        dtype,
        Geometry(strides, pairs, dilation, input_dilation),
        groups,
    )


def _tile(rng, taps, strides, input_dilation, pairs):
    """On one axis dy or x is spread as far as the window, without padding."""
    axis = int(rng.integers(len(taps)))

    def put(values, value):
        return (*values[:axis], value, *values[axis + 1 :])

    k = taps[axis]
    if k == 1 or rng.random() < 0.5:
        return (
            put(strides, k),
            put(input_dilation, max(k - 1, 1)),
            put(pairs, (k - 1, k - 1)),
        )
    return put(strides, k - 1), put(input_dilation, k), put(pairs, (0, 0))


def check(problem: Problem, ways: Sequence[str], tell: Callable = print) -> None:
    """Compares y, dx and dw; ways that run the same program run it once.

    What a backend refuses is none of its problems.

    Raises:
        AssertionError: a wrong value.
    """
    rng = np.random.default_rng(0)
    outputs = positions(problem.x[1:-1], problem.kernel[:-2], problem.where)
    shapes = problem.x, problem.kernel, (problem.x[0], *outputs, problem.kernel[-1])
    dtype: Any = jnp.dtype(problem.dtype)
    arrays = [normal(rng, *shape, dtype=dtype) for shape in shapes]
    given, wide = zip(*arrays, strict=True)
    exact, absolute = _exact(problem, *wide), _exact(problem, *map(np.abs, wide))
    x, kernel, dy = wide
    terms = x[..., 0].size + dy[..., 0].size + kernel[..., 0].size
    known = set()
    for way in ways:
        tell(way)
        try:
            program = _lower(problem, way, given)
        except BackendError:
            continue
        if (text := program.as_text()) in known:
            continue
        known.add(text)
        compiled = program.compile()
        for _ in range(2):  # what is read outside of an array changes
            for result in zip(compiled(*given), exact, absolute, strict=True):
                assert_sum_close(*result, terms)


def _lower(problem, way, arrays):
    def run(x, kernel, dy):
        y, vjp = jax.vjp(lambda *args: ops.conv(*args, **problem.options), x, kernel)
        return y, *vjp(dy)

    stock = way == "autodiff"
    mode = "autodiff" if stock else "custom"
    with ops.backend("xla" if stock else way), ops.gradients(mode):
        return jax.jit(run).lower(*arrays)


def _exact(problem, x, kernel, dy):
    where, groups = problem.where, problem.groups
    y = by_taps.conv(x, kernel, where, groups)
    return y, *by_taps.conv_gradients(x, kernel, dy, where, groups)


def main(first: int, count: int) -> None:
    """Checks ``count`` problems by all ways."""
    for number in range(first, first + count):
        problem, way = make_problem(number), ""

        def tell(name, number=number):
            nonlocal way
            way = name
            print(f"{number} {name}", flush=True)

        try:
            with jax.enable_x64(problem.dtype == "float64"):
                check(problem, WAYS, tell)
        except Exception as error:
            name = type(error).__name__
            print(f"wrong: {number} {way} {name} {problem}", flush=True)
        jax.clear_caches()
