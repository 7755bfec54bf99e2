"""How a process of cnnjax uses memory, and how it ends."""

import atexit
import contextlib
import ctypes
import os
import platform
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import NoReturn

LONGEST_WAIT_SECONDS = 5
FAILED = 1

# Parameters of mallopt(3).
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX, ARENA_MAX = -1, -2, -4, -8
LARGEST = 2**31 - 1
GROWTH_BYTES = 64 * 2**20
VARIABLE = "CNNJAX_KEEP_MEMORY"


def keep_freed_memory() -> bool:
    """Lets this process keep the memory that it frees, for its next use.

    A training step on a CPU allocates some hundred megabytes for the values between its
    forward and its backward pass, and frees them at its end. By default, glibc returns
    such blocks to the system, and the next step has to wait while the system finds and
    clears new pages: a fifth of the time of a ResNet-20's step. Kept blocks do not
    always fit the next request, so a process may come to hold two or three times as
    much memory as it uses at once. ``CNNJAX_KEEP_MEMORY=0`` turns this off.

    Call it before JAX starts its threads: memory that other threads have allocated
    until then is not kept.

    Returns:
        Whether the C library, which has to be glibc, accepted the settings.
    """
    if os.environ.get(VARIABLE) == "0":
        return False
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    set_option = ctypes.CDLL(None).mallopt
    settings = {
        TRIM_THRESHOLD: LARGEST,
        TOP_PAD: GROWTH_BYTES,
        MMAP_MAX: 0,
        ARENA_MAX: 1,  # only the first arena can grow without limit
    }
    taken = [set_option(name, value) == 1 for name, value in settings.items()]
    return all(taken)


def end_with(main: Callable[[], int]) -> NoReturn:
    """Runs ``main`` and ends this process with the exit status that it returns.

    At exit, Python waits for the threads of libraries. After a failed save, some of
    Orbax's threads wait ten minutes for parts that never come, so the wait here is a
    few seconds. Cleanup in C++ libraries is skipped, because it can hang as well.

    Args:
        main: the program.
    """
    status, over = [FAILED], threading.Event()

    def leave() -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):
                stream.flush()
        os._exit(status[0])

    def watch() -> None:
        over.wait()
        time.sleep(LONGEST_WAIT_SECONDS)
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
