"""The end of a process: with its status and within seconds, whatever still runs."""

import atexit
import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import NoReturn

SECONDS = 5
FAILED = 1


def end_with(main: Callable[[], int]) -> NoReturn:
    """Runs ``main`` and ends this process with the exit status that it returns.

    Python waits at the end for threads of libraries. After a failed save, some of
    Orbax's wait ten minutes for parts of it that never come, so the wait here is
    limited. Cleanup in C++ libraries is skipped, because it can hang, too.

    Args:
        main: what the process is for.
    """
    status, over = [FAILED], threading.Event()

    def leave() -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):
                stream.flush()
        os._exit(status[0])

    def watch() -> None:
        over.wait()
        time.sleep(SECONDS)
        leave()

    # Started now, because a process out of memory could not start a thread later.
    threading.Thread(target=watch, daemon=True).start()
    atexit.register(leave)  # the first to be registered is the last to be run
    try:
        status[0] = main()
    except SystemExit as error:
        status[0] = _status_of(error.code)
    except BaseException:
        traceback.print_exc()
    over.set()
    sys.exit(status[0])


def _status_of(code: object) -> int:
    """The exit status that Python makes of what ``sys.exit`` was given."""
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return FAILED
