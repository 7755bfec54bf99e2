"""Signals that ask a run to stop: it finishes its step, saves, and ends."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

# Slurm sends SIGTERM before it takes a node away, and SIGUSR1 if --signal asks for it;
# SIGHUP comes when a terminal is closed.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


@contextlib.contextmanager
def watch() -> Iterator[Callable[[], int | None]]:
    """Records the first signal, and ends the process at once on the second.

    A SIGHUP that was ignored before stays ignored, as ``nohup`` requires.

    Yields:
        A function that returns the number of the signal that came, or ``None``. Outside
        of the main thread no signal can be caught, and it always returns ``None``.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    numbers = [number for number in SIGNALS if not _stays_ignored(number)]
    with _end_on_second_signal(numbers):
        before = {
            number: signal.signal(number, lambda number, _: received.append(number))
            for number in numbers
        }
        try:
            yield lambda: received[0] if received else None
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _stays_ignored(number: int) -> bool:
    return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


@contextlib.contextmanager
def _end_on_second_signal(numbers: Sequence[int]) -> Iterator[None]:
    """Ends the process on the second signal, whatever the main thread is doing.

    Python runs a handler in the main thread, and only between two of its own
    instructions, so a signal may have to wait: until XLA has compiled a step, for
    example. The number of a signal is written to a socket at once, where another
    thread reads it.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def read() -> None:
        count = 0
        while number := reader.recv(1):
            count += number[0] in numbers
            if count == 2:
                os._exit(128 + number[0])
        reader.close()

    threading.Thread(target=read, daemon=True).start()
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writer.close()
