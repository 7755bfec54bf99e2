"""How far two states of a run are apart, layer by layer."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from cnnjax.train.step.state import named_leaves

# How the rest of a state is called, beside its layers.
OTHERS = {
    "opt_state": "(optimizer)",
    "average": "(average)",
}
REST = "(step, key and loss)"


class LayerDifference(NamedTuple):
    """How far the arrays of one layer are apart.

    Attributes:
        layer: its name; in parentheses, a part of the state that is no layer.
        arrays: how many it has.
        equal: whether all of them are equal, bit for bit.
        ulp: the largest distance of two numbers, in units in the last place.
        largest: the largest absolute difference.
        relative: that, as a share of the array's largest absolute value.
    """

    layer: str
    arrays: int
    equal: bool
    ulp: int
    largest: float
    relative: float


def compare_states(
    recorded: Mapping[str, Any], now: Mapping[str, Any]
) -> list[LayerDifference]:
    """The difference of each layer, in the order of the network's arrays.

    Args:
        recorded: a state by its fields.
        now: one of the same network and optimizer.
    """
    rows: dict[str, list[LayerDifference]] = {}
    pairs = zip(named_leaves(recorded), named_leaves(now), strict=True)
    for (name, before), (_, after) in pairs:
        layer = _layer_of(name)
        rows.setdefault(layer, []).append(_compare(layer, before, after))
    layers = sorted(rows, key=lambda name: name.startswith("("))  # the others last
    return [_merge(rows[layer]) for layer in layers]


def ulp_between(a: Any, b: Any) -> np.ndarray:
    """How many numbers of their dtype lie between two arrays, one more if they differ.

    For whole numbers, that is the absolute difference. Zero and minus zero are 0 apart.

    Example::

        >>> import numpy as np
        >>> one = np.float32(1)
        >>> int(ulp_between(one, np.nextafter(one, np.float32(2))))
        1
    """
    x, y = _in_order(a), _in_order(b)
    with np.errstate(over="ignore"):  # the distance may need 64 bits without a sign
        return np.maximum(x, y).view(np.uint64) - np.minimum(x, y).view(np.uint64)


def _in_order(array: Any) -> np.ndarray:
    """Whole numbers of 64 bits that count the values of a dtype from zero."""
    array = np.asarray(array)
    if array.dtype.kind in "biu":
        return array.astype(np.int64)
    bits = array.view(f"i{array.dtype.itemsize}")
    lowest = np.iinfo(bits.dtype).min
    return np.where(bits < 0, lowest - bits, bits).astype(np.int64)


def _compare(layer: str, before: Any, after: Any) -> LayerDifference:
    before, after = np.asarray(before), np.asarray(after)
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        apart = np.abs(after.astype(np.float64) - before.astype(np.float64))
    largest = float(apart.max(initial=0))
    size = float(np.abs(before.astype(np.float64)).max(initial=0))
    return LayerDifference(
        layer,
        arrays=1,
        equal=before.tobytes() == after.tobytes(),
        ulp=int(ulp_between(before, after).max(initial=0)),
        largest=largest,
        relative=largest / size if size else largest,
    )


def _merge(rows: Iterable[LayerDifference]) -> LayerDifference:
    rows = list(rows)
    return LayerDifference(
        rows[0].layer,
        arrays=len(rows),
        equal=all(row.equal for row in rows),
        ulp=max(row.ulp for row in rows),
        largest=max(row.largest for row in rows),
        relative=max(row.relative for row in rows),
    )


def _layer_of(name: str) -> str:
    """The layer of an array of a state, such as ``params.Conv_0.kernel``."""
    field, _, rest = name.partition(".")
    if field == "statistics":
        rest = rest.partition(".")[2]
    if field in ("params", "statistics"):
        return rest.rpartition(".")[0] or rest
    return OTHERS.get(field, REST)
