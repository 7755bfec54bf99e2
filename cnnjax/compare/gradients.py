"""The gradients of two functions that should agree, compared leaf by leaf."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.compare.finite_difference import relative_errors
from cnnjax.compare.tolerance import (
    DRAWS,
    EXCESS,
    FACTOR,
    FINITE_DIFFERENCE,
    NUDGE,
    relative_tolerance,
    units_in_the_last_place,
)

Function = Callable[..., Any]


class Row(NamedTuple):
    """The comparison of one argument's gradients, f' of ``f`` and g' of ``g``.

    Attributes:
        name: the path of the argument, such as ``params.Conv_0.kernel``.
        shape: of the argument.
        max_abs: the largest ``|f' - g'|`` in the arguments' own dtype.
        max_rel: the same, divided by the largest ``|g'|`` of the float64 run.
        float64: the largest ``|f' - g'|`` of the float64 runs, divided by the largest
            ``|g'|``.
        f_ulp: the error of f' against g' in float64, in units in the last place of the
            largest value.
        g_ulp: the same for g'.
        finite_difference: the relative error of f' in float64 against a central
            difference along a random direction; ``None`` if it was not computed.
        tolerance: the relative error allowed for the dtype of the computation.
        failures: what is wrong, in words; empty when the gradient is right.
    """

    name: str
    shape: tuple[int, ...]
    max_abs: float
    max_rel: float
    float64: float
    f_ulp: float
    g_ulp: float
    finite_difference: float | None
    tolerance: float
    failures: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the gradient is right."""
        return not self.failures


class Comparison(NamedTuple):
    """One row for each argument."""

    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Whether every gradient is right."""
        return all(row.ok for row in self.rows)


def compare_gradients(
    f: Function,
    g: Function,
    *arguments: Any,
    finite_differences: bool = True,
    network: bool = False,
    dtype: Any = None,
    seed: int = 0,
) -> Comparison:
    """Compares the gradient of ``f`` with that of ``g``, which should equal it.

    Both gradients start from the same random cotangent (1 for a scalar output). They
    are computed in the arguments' own dtype and in float64, and the float64 gradient of
    ``g`` counts as the truth.

    Args:
        f: the function under test, from arrays to an array or a tree of arrays.
        g: the reference, such as the same function built from stock operations.
        arguments: arrays or trees of arrays; those that are not floating-point are
            passed through.
        finite_differences: whether to compare with central differences, too. These are
            taken near the arguments, which may lie on a kink.
        network: whether both functions are networks, in which rounding may take a
            hidden unit across a kink. An error in float32 may then be as large as what
            gradients change by when the arguments move by a few units of rounding.
        dtype: that in which both functions compute, if it is not that of the arguments.
        seed: for the cotangent and the directions.

    Returns:
        One row for each floating-point array among the arguments.

    Raises:
        ValueError: no argument is a floating-point array.
    """
    names, leaves, rebuild = _flatten(arguments)
    terms = sum(leaf.size for leaf in leaves)
    losses = [_loss(function, rebuild, seed) for function in (f, g)]
    own = [_gradient(loss)(leaves) for loss in losses]
    with jax.enable_x64(True):
        wide = [leaf.astype(np.float64) for leaf in leaves]
        pulls = [_gradient(loss) for loss in losses]
        exact = [pull(wide) for pull in pulls]
        moves = [0.0] * len(leaves)
        if network and np.dtype(dtype or leaves[0].dtype) == np.float32:
            moves = _sensitivity(pulls[1], wide, exact[1], seed)
        slopes: Sequence[float | None] = [None] * len(leaves)
        if finite_differences:
            slopes = relative_errors(
                losses[0], pulls[0], wide, seed, enough=FINITE_DIFFERENCE
            )
    columns: Any = zip(names, leaves, *own, *exact, slopes, moves, strict=True)
    return Comparison(tuple(_row(terms, dtype, *column) for column in columns))


def _flatten(arguments):
    """The floating-point leaves with their names, and how to rebuild all arguments."""
    paths, tree = jax.tree_util.tree_flatten_with_path(arguments)
    values = [np.asarray(value) for _, value in paths]
    places = [i for i, v in enumerate(values) if jnp.issubdtype(v.dtype, jnp.floating)]
    if not places:
        raise ValueError(
            "no argument has a floating dtype, so there is no gradient to compare"
        )

    def rebuild(leaves):
        merged = list(values)
        for place, leaf in zip(places, leaves, strict=True):
            merged[place] = leaf
        return jax.tree.unflatten(tree, merged)

    names = [_name(paths[i][0], len(arguments)) for i in places]
    return names, [values[i] for i in places], rebuild


def _name(path, count):
    keys = [
        str(getattr(k, "key", getattr(k, "idx", getattr(k, "name", k)))) for k in path
    ]
    return ".".join(keys[1:] if count == 1 and len(keys) > 1 else keys)


def _loss(function, rebuild, seed):
    """The product of the function's output and a random cotangent, from the leaves."""

    def loss(leaves):
        outputs = jax.tree.leaves(function(*rebuild(leaves)))
        parts = [
            jnp.vdot(y, _cotangent(y.shape, y.dtype, seed, i))
            for i, y in enumerate(outputs)
        ]
        return functools.reduce(jnp.add, parts)

    return loss


def _cotangent(shape, dtype, seed, number):
    if shape == ():
        return np.ones((), dtype)
    draw = np.random.default_rng((seed, number)).standard_normal(shape)
    # A few bits only: the same number in every dtype.
    return np.asarray(np.round(draw * 16) / 16, dtype)


def _gradient(loss):
    compiled = jax.jit(jax.grad(loss))
    return lambda leaves: [np.asarray(leaf) for leaf in compiled(leaves)]


def _error(a, b) -> float:
    """The largest difference of two arrays."""
    gap = np.abs(a.astype(np.float64) - b.astype(np.float64))
    return float(np.max(gap, initial=0.0))


def _sensitivity(pull, wide, exact, seed) -> list[float]:
    """How far each gradient moves when rounding moves all arguments.

    In float32, a network of a million units has one or two within rounding of a kink.
    Two correct computations may take different sides there, and then all gradients
    before that layer differ. When arguments move by several units in the last place,
    some units change sides in every layer. In half precision so many do that the error
    of the reference shows it.
    """
    unit, random = float(jnp.finfo(jnp.float32).eps), np.random.default_rng(seed)
    largest = [0.0] * len(wide)
    for _ in range(DRAWS):
        moved = [x * (1 + NUDGE * unit * random.uniform(-1, 1, x.shape)) for x in wide]
        moves = map(_error, pull(moved), exact)
        largest = [max(pair) for pair in zip(largest, moves, strict=True)]
    return largest


def _row(
    terms, dtype, name, leaf, f_own, g_own, f_wide, g_wide, difference, moves
) -> Row:
    size = float(np.max(np.abs(g_wide), initial=0.0))
    scale = size or 1.0
    dtype = np.dtype(dtype or leaf.dtype)
    f_error, g_error = _error(f_own, g_wide), _error(g_own, g_wide)
    row = Row(
        name=name,
        shape=leaf.shape,
        max_abs=_error(f_own, g_own),
        max_rel=_error(f_own, g_own) / scale,
        float64=_error(f_wide, g_wide) / scale,
        f_ulp=units_in_the_last_place(f_error, scale, dtype),
        g_ulp=units_in_the_last_place(g_error, scale, dtype),
        finite_difference=difference,
        tolerance=relative_tolerance(dtype, terms),
        failures=(),
    )
    # Rounding may flip a decision, such as which value is largest, and large terms may
    # cancel each other, such as where batch normalization follows: then g errs, too,
    # and in float64 by as much less as its numbers are finer.
    allowed = max(row.tolerance * scale, EXCESS * g_error, EXCESS * moves)
    exact = np.dtype(np.float64)
    finer = float(jnp.finfo(exact).eps / jnp.finfo(dtype).eps)
    allowed_wide = max(
        relative_tolerance(exact, terms),
        FACTOR * finer * g_error / scale if finer < 1 else 0.0,
    )
    return row._replace(failures=_failures(row, f_error, allowed, allowed_wide))


def _failures(row, f_error, allowed, allowed_wide) -> tuple[str, ...]:
    """What is wrong; the comparisons are written so that NaN fails."""
    found = []
    if not row.float64 <= allowed_wide:
        found.append(f"differs by {row.float64:.1e} in float64")
    if not f_error <= allowed:
        found.append(f"differs by {f_error:.1e} from the float64 run")
    slope = row.finite_difference
    if slope is not None and not slope <= FINITE_DIFFERENCE:
        found.append(f"differs by {slope:.1e} from the finite difference")
    return tuple(found)
