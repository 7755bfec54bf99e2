"""Keeps off the terminal what Orbax's threads say after a failure that is told already.

Where one array cannot be read or written, Orbax closes the event loop and leaves the
other arrays' coroutines and callbacks alone; each of them then complains to Python that
the loop is closed, with a traceback, at some later moment. Where a save fails before it
began, its coroutines were never awaited, and Python warns about that.
"""

import logging
import sys
import warnings
from typing import Any

COROUTINE, CLOSED = "_read_array_index_and_device_put", "Event loop is closed"
UNAWAITED = r"coroutine '\w*(Checkpoint|Handler|Save|_save|_read|_write)\S*' was never"


def quieten_orbax() -> None:
    """Passes over those complaints and its log from now on; others are printed."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", UNAWAITED, RuntimeWarning)
    if getattr(sys.unraisablehook, "passes_over_orbax", False):
        return
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        loop_closed = CLOSED in str(unraisable.exc_value)
        if not loop_closed and COROUTINE not in repr(unraisable.object):
            before(unraisable)

    hook.passes_over_orbax = True
    sys.unraisablehook = hook
