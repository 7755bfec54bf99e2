"""Stop requests: what a process asks of all processes of a run after the next step."""

from typing import NamedTuple

import jax
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


def agree(total: Array | None, own: StopRequest) -> StopRequest:
    """What all processes ask for; one call late, so that all learn of it together.

    Args:
        total: the sum of their encoded requests at the call before; ``None`` before the
            second call.
        own: of this process, which decides if it is alone.
    """
    if jax.process_count() == 1:
        return own
    return StopRequest() if total is None else decode(total)


def decode(total: Array) -> StopRequest:
    """The request of all processes together.

    Args:
        total: the sum of their encoded requests.
    """
    *stops, save, end = np.asarray(total).tolist()
    signals = [number for number, count in zip(SIGNALS, stops, strict=True) if count]
    return StopRequest(signals[0] if signals else None, save > 0, end > 0)
