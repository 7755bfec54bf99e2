"""What the C library does with memory that is given back.

A training step on a CPU takes some hundred megabytes for what lies between its forward
and its backward pass, and gives them back at its end. By default, glibc returns such
blocks to the system, and the next step has to wait while the system finds and clears
new pages: a fifth of the time of a ResNet-20's step. Kept blocks do not always fit the
next request, so a process may come to hold two or three times as much of them as it
uses at once. ``CNNJAX_KEEP_MEMORY=0`` leaves the C library as it is.
"""

import ctypes
import os
import platform
import sys

# Parameters of mallopt(3).
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX, ARENA_MAX = -1, -2, -4, -8
LARGEST = 2**31 - 1
GROWTH_BYTES = 64 * 2**20
VARIABLE = "CNNJAX_KEEP_MEMORY"


def keep_freed_memory() -> bool:
    """Lets this process keep the memory that it has freed, for its next use.

    To be called before JAX starts its threads: memory that other threads have taken
    until then is not kept.

    Returns:
        Whether the C library took the settings: it is glibc, and the user allows it.
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
