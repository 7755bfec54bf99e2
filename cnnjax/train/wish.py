"""What a process wants of the others: to stop, or to save now."""

import signal
from typing import NamedTuple

import numpy as np

from cnnjax.typing import Array


class Wish(NamedTuple):
    """What should happen after a step, beside what is due.

    Attributes:
        signal: the number of the signal that asks to stop; ``None`` for none.
        save: whether the clock says that a checkpoint is due.
    """

    signal: int | None = None
    save: bool = False


def encode(wish: Wish) -> np.ndarray:
    """A wish as numbers that can be added up over all processes: int32 ``(2,)``."""
    return np.array([wish.signal is not None, wish.save], np.int32)


def decode(total: Array, own: Wish) -> Wish:
    """What all processes together want, from the sum of their wishes.

    Args:
        total: the sum of what ``encode`` gave.
        own: this process's wish, which knows the signal if it came here.
    """
    stop, save = (int(number) for number in np.asarray(total))
    number = own.signal or signal.SIGTERM if stop else None
    return Wish(number, save > 0)
