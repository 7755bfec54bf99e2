"""The largest batch that fits a device, and what would save memory."""

import math
from typing import Any, NamedTuple

from cnnjax.config import Config
from cnnjax.plan.costs import at_once, memory_use
from cnnjax.plan.steps import Run, TooLarge, compile_training
from cnnjax.train.run.experiment import Parts, make_experiment

COMPILATIONS = 8
"""At most so many for the largest batch."""

CLOSE = 0.02
"""The search ends when the bounds are as close as this share."""


class Largest(NamedTuple):
    """The outcome of a search for the largest batch.

    Attributes:
        fits: the largest size that was compiled and fits; 0 if none does.
        too_large: the smallest that does not; ``None`` if all did.
        peak: bytes on one device at the size that fits.
        close: whether the two are as close as they were to be.
    """

    fits: int
    too_large: int | None
    peak: int
    close: bool = True


def search_largest(run: Run, first_peak: int, limit: int) -> Largest:
    """Compiles the training step for other batches, by bisection.

    Memory grows almost linearly with the batch, so each size is where a line through
    the two nearest would meet the limit, if that is between the bounds.

    Args:
        run: whose batch is compiled already.
        first_peak: its memory on one device.
        limit: the memory of a device.
    """
    unit = run.devices.count * run.config.accumulate_steps
    most = len(run.experiment.dataset.train.labels) // unit * unit
    peaks = {run.config.batch_size: first_peak}
    for _ in range(COMPILATIONS):
        size = _next_size(peaks, limit, unit)
        if size is None or min(size, most) in peaks:
            break
        size = min(size, most)
        peaks[size] = peak_of(with_settings(run, batch_size=size))
    low, high = _bounds(peaks, limit)
    too_large = None if high == math.inf else int(high)
    close = too_large is None or _is_close(low, high, unit)
    return Largest(low, too_large, peaks.get(low, 0), close)


def _next_size(peaks: dict[int, int], limit: int, unit: int) -> int | None:
    """The size to compile next; ``None`` when the bounds are close enough."""
    low, high = _bounds(peaks, limit)
    if _is_close(low, high, unit):
        return None
    near = sorted(peaks, key=lambda size: abs(peaks[size] - limit))[:2]
    slope = peaks[near[0]] / near[0]
    if len(near) == 2 and peaks[near[0]] != peaks[near[1]]:
        slope = (peaks[near[0]] - peaks[near[1]]) / (near[0] - near[1])
    guess = near[0] + (limit - peaks[near[0]]) / max(slope, 1)
    size = int(guess) // unit * unit
    if high == math.inf:
        return max(size, low + unit)
    # A compiler that computes again what does not fit bends the line.
    *earlier, _ = peaks
    before, after = _bounds({size: peaks[size] for size in earlier}, limit)
    is_slow = after < math.inf and high - low > 0.75 * (after - before)
    if is_slow or not low < size < high:
        size = max(int(low + high) // 2 // unit * unit, low + unit)
    return size


def _is_close(low: int, high: float, unit: int) -> bool:
    return high < math.inf and high - low <= max(unit, CLOSE * high)


def _bounds(peaks: dict[int, int], limit: int) -> tuple[int, float]:
    """The largest size that fits, and the smallest that does not."""
    low = max((size for size, peak in peaks.items() if peak <= limit), default=0)
    high = min((size for size, peak in peaks.items() if peak > limit), default=math.inf)
    return low, high


def savings(run: Run, peak: int) -> list[dict[str, Any]]:
    """What memory other settings would need, each compiled.

    Args:
        run: whose own step is compiled already.
        peak: its memory on one device.

    Returns:
        For each setting its name and value, its memory, and the difference; ``None``
        for both where the setting cannot be had, with the reason.
    """
    parts = 2 * run.config.accumulate_steps
    changes: list[dict[str, Any]] = [{"accumulate_steps": parts}]
    if getattr(run.experiment.model, "remat", None) is False:
        changes.append({"model.remat": True})
    found = []
    for change in changes:
        (name, value), *_ = change.items()
        entry = {"setting": name, "value": value, "peak": None, "saved": None}
        unit = run.devices.count * (parts if name == "accumulate_steps" else 1)
        if run.config.batch_size % unit:
            entry["reason"] = f"batch_size must be a multiple of {unit}"
        else:
            entry["peak"] = peak_of(with_settings(run, **{name: value}))
            entry["saved"] = peak - entry["peak"]
        found.append(entry)
    return found


def peak_of(run: Run) -> int:
    """The memory of a run's training step on one device, fitting or not."""
    try:
        memory = memory_use(run, compile_training(run).compiled)
    except TooLarge as error:
        return error.needed
    return at_once(memory)


def with_settings(run: Run, **changes: Any) -> Run:
    """A run with other settings, on the same data and devices.

    Raises:
        ConfigError: the settings do not fit together.
    """
    config: Config = run.config.copy_and_resolve_references()
    for name, value in changes.items():
        section, _, key = name.rpartition(".")
        with config.unlocked():
            (config[section] if section else config)[key] = value
    experiment = make_experiment(
        config,
        run.experiment.normalization,
        parts=Parts(dataset=run.experiment.dataset),
    )
    return run._replace(config=config, experiment=experiment)
