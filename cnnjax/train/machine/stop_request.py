"""Stop requests: what a process asks of all processes of a run after the next step."""

from typing import NamedTuple

import numpy as np

from cnnjax.train.machine.signals import SIGNALS
from cnnjax.typing import Array


class StopRequest(NamedTuple):
    """Whether all processes should stop, or save, after a step.

    Attributes:
        signal: the number of the signal that asks to stop; ``None`` if none came.
        save: whether a checkpoint is due by the clock.
        end: whether a reporter asks training to end.
    """

    signal: int | None = None
    save: bool = False
    end: bool = False


WIDTH = len(SIGNALS) + 2


def encode(request: StopRequest) -> np.ndarray:
    """A request as counts, which add up over all processes: int32 ``(WIDTH,)``."""
    signals = [request.signal == number for number in SIGNALS]
    counts = [*signals, request.save, request.end]
    return np.array(counts, np.int32)


def decode(total: Array) -> StopRequest:
    """The request of all processes together.

    Args:
        total: the sum of their encoded requests.
    """
    *stops, save, end = np.asarray(total).tolist()
    signals = [number for number, count in zip(SIGNALS, stops, strict=True) if count]
    return StopRequest(signals[0] if signals else None, save > 0, end > 0)
