"""Signals that ask a run to stop: it finishes its step, saves, and ends."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

# Slurm sends SIGTERM before it takes a node away, SIGUSR1 where --signal asks for it.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Interrupted(Exception):
    """A run that was asked to stop and saved its state.

    Attributes:
        status: the exit status that shells expect, 128 plus the signal's number.
    """

    def __init__(self, number: int, step: int):
        super().__init__(
            f"stopped by {signal.Signals(number).name} after step {step}, which is"
            " saved; the same command goes on from there"
        )
        self.status = 128 + number


@contextlib.contextmanager
def watch() -> Iterator[Callable[[], int | None]]:
    """Notes the first signal, and ends the process at once with the second.

    Yields:
        A function that tells the number of the signal that came, or ``None``. Outside
        of the main thread no signal can be caught, and it always tells ``None``.
    """
    received: list[int] = []

    def handle(number, frame):
        if received:
            os._exit(128 + number)
        received.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
