"""How far long work is: the work tells it, and whoever shows it listens.

Outside of ``shown_by``, nothing is shown, and telling costs almost nothing.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar

TICK_SECONDS = 0.5

Listener = Callable[[str, int, int | None, str], None]
"""Takes a task, how much of it is done, the total (``None`` if unknown), the unit."""


class _Listening:
    """A listener, and when the work itself told it something for the last time."""

    def __init__(self, listener: Listener):
        self.listener, self.told_at = listener, 0.0


_current: ContextVar[_Listening | None] = ContextVar("progress", default=None)


@contextlib.contextmanager
def shown_by(listener: Listener) -> Iterator[None]:
    """Passes what work in this context and thread tells to a listener.

    Args:
        listener: called with each step of the work, so it must be quick.
    """
    token = _current.set(_Listening(listener))
    try:
        yield
    finally:
        _current.reset(token)


def tell(task: str, done: int, total: int, unit: str = "images") -> None:
    """Tells how far a task is; it is over once ``done`` is ``total``.

    Args:
        task: what is being done, such as "measuring normalization".
        done: how many units.
        total: of how many.
        unit: what is counted.
    """
    if current := _current.get():
        current.told_at = time.monotonic()
        current.listener(task, done, total, unit)


@contextlib.contextmanager
def elapsing(task: str) -> Iterator[None]:
    """Tells every half second that a task runs whose length is unknown.

    Once work inside of it tells more, this is silent.

    Args:
        task: what is being done, such as "compiling the training step".
    """
    current = _current.get()
    if current is None:
        yield
        return
    over, begin = threading.Event(), time.monotonic()

    def tick() -> None:
        while not over.wait(TICK_SECONDS):
            if current.told_at >= begin:
                return
            current.listener(task, int(time.monotonic() - begin), None, "s")

    thread = threading.Thread(target=tick, name=f"cnnjax {task}", daemon=True)
    current.listener(task, 0, None, "s")
    # Without memory for a thread, the work itself may still succeed.
    with contextlib.suppress(RuntimeError):
        thread.start()
    try:
        yield
    finally:
        over.set()
        if thread.is_alive():
            thread.join()
        current.listener(task, 0, 0, "s")
