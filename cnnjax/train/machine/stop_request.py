"""What a process wants of the others: to stop, or to save now."""

from typing import NamedTuple

import numpy as np

from cnnjax.train.machine.signals import SIGNALS
from cnnjax.typing import Array


class StopRequest(NamedTuple):
    """What should happen after a step, beside what is due.

    Attributes:
        signal: the number of the signal that asks to stop; ``None`` for none.
        save: whether the clock says that a checkpoint is due.
    """

    signal: int | None = None
    save: bool = False


WIDTH = len(SIGNALS) + 1


def encode(wish: StopRequest) -> np.ndarray:
    """A wish as counts that can be added up over all processes: int32 ``(WIDTH,)``."""
    return np.array([*(wish.signal == s for s in SIGNALS), wish.save], np.int32)


def decode(total: Array) -> StopRequest:
    """What all processes together want, from the sum of their wishes.

    Args:
        total: the sum of what ``encode`` gave.
    """
    *stops, save = np.asarray(total).tolist()
    signals = [number for number, count in zip(SIGNALS, stops, strict=True) if count]
    return StopRequest(signals[0] if signals else None, save > 0)
