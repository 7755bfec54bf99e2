"""How large the updates of a step are: which learning rate is too high, and where."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnjax.train.step.state import named_leaves
from cnnjax.typing import Params

RECENT = 10
"""Steps before the replayed one whose updates tell what is usual."""

LARGE = 0.1  # of the weights in one step; about 0.001 is usual
_GROWTH, _LEAST = 10, 0.01  # a sudden growth counts, too, if it reaches this size


class StepUpdates(NamedTuple):
    """The updates of one step.

    Attributes:
        step: its number.
        learning_rate: of the step.
        ratios: the norm of the update relative to that of the weights, of each kernel
            by its name. Biases start from zero, where such a ratio says nothing.
    """

    step: int
    learning_rate: float
    ratios: Mapping[str, float]


def step_updates(
    step: int, learning_rate: Any, before: Params, after: Params
) -> StepUpdates:
    """The updates of a step.

    Args:
        step: its number.
        learning_rate: of the step.
        before: the parameters before it, on the host.
        after: those after it.
    """
    new, ratios = dict(named_leaves(after)), {}
    for name, old in named_leaves(before):
        wide = np.asarray(old, np.float64)
        if wide.ndim > 1 and (norm := np.linalg.norm(wide)):
            change = np.asarray(new[name], np.float64) - wide
            ratios[name] = float(np.linalg.norm(change) / norm)
    return StepUpdates(step, float(learning_rate), ratios)


def describe_updates(steps: Sequence[StepUpdates]) -> str:
    """The first update that is too large, else the largest one of the last step.

    Args:
        steps: some steps in a row; the last one is the one of interest.
    """
    if found := find_large(steps):
        return found
    last = steps[-1].ratios
    if not last:
        return ""
    most = max(last, key=lambda name: last[name])
    usual = _usual(steps[:-1], most)
    compared = "" if usual is None else f"; in the steps before, {usual:.2g}"
    return (
        f"the largest update relative to its weights is that of {most}:"
        f" {last[most]:.2g}{compared}"
    )


def find_large(steps: Sequence[StepUpdates]) -> str:
    """The first of some steps in a row with updates that are too large; else empty."""
    for number, one in enumerate(steps):
        before = steps[:number]
        large = {
            name: ratio / (_usual(before, name) or LARGE)
            for name, ratio in one.ratios.items()
            if _is_large(ratio, _usual(before, name))
        }
        if large:
            worst = max(large, key=lambda name: large[name])
            return _blame(one, before, worst, len(large))
    return ""


def _is_large(ratio: float, usual: float | None) -> bool:
    """Whether an update is too large; NaN is not, as another message tells about it."""
    if not np.isfinite(ratio):
        return False
    is_jump = usual is not None and ratio > max(_GROWTH * usual, _LEAST)
    return ratio > LARGE or is_jump


def _usual(before: Sequence[StepUpdates], name: str) -> float | None:
    """The median of the steps before.

    ``None`` if there are none, or none with updates, as at the start of a warmup.
    """
    sizes = [one.ratios[name] for one in before]
    return float(np.median(sizes)) or None if sizes else None


def _blame(
    one: StepUpdates, before: Sequence[StepUpdates], name: str, count: int
) -> str:
    """Names the layer and the step of an update that is too large."""
    ratio, usual = one.ratios[name], _usual(before, name)
    size = f"{ratio:.3g} times its weights"
    if usual:
        size += f", {ratio / usual:,.0f} times its usual size of {usual:.2g}"
    rate = f"the learning rate is {one.learning_rate:.4g}"
    if before and before[-1].learning_rate != one.learning_rate:
        rate += f", after {before[-1].learning_rate:.4g} at step {before[-1].step}"
    others = f" ({count} of {len(one.ratios)} kernels have such updates)"
    return (
        f"the update of {name} at step {one.step} is too large: {size}"
        f"{others if count > 1 else ''}; {rate}"
    )
