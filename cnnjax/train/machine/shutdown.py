"""How the processes of a run end: together, or as soon as one fails."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, NoReturn

import jax
from jax._src.distributed import global_state  # its client has no public name
from jax.experimental import multihost_utils

from cnnjax.streams import printable

WATCH_SECONDS = 5
FAREWELL_SECONDS = 1  # between a process's last word and its end
FAILED, USAGE = 1, 2  # exit status
_LEFT = "cnnjax/left"  # key of the last words of processes that end

_AGAIN = (
    "start all processes again with the same command, and they resume from the last"
    " checkpoint"
)
_over = threading.Event()
_leaving = threading.Lock()


@contextlib.contextmanager
def leave_together() -> Iterator[None]:
    """Ends this process together with the others, or at once if it fails.

    A failed process that waited for the others, as JAX does at exit, would keep them
    waiting.
    """
    if global_state.num_processes == 1:
        yield
        return
    with leave_on_failure():
        yield
    _say_farewell()


@contextlib.contextmanager
def leave_on_failure() -> Iterator[None]:
    """Ends this process, and with it the others, if something fails."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).partition("\n")[0][:200]
        _leave(f"another process has ended or cannot be reached ({reason}); {_AGAIN}")
    except Exception as error:
        _leave(str(error), USAGE if isinstance(error, ValueError) else FAILED)


def _say_farewell() -> None:
    """Disconnects. Process 0 goes last: the others need it to disconnect."""
    _over.set()
    multihost_utils.sync_global_devices("end")
    _let_others_go_first("")
    jax.distributed.shutdown()


def watch() -> None:
    """Ends this process when another one has ended without notice.

    A step would wait for that process forever, deep within a library.
    """
    client: Any = global_state.client
    everybody = list(range(global_state.num_processes))
    while not _over.wait(WATCH_SECONDS):
        check_left()
        try:
            lost = sorted({*everybody} - {*client.get_live_nodes(everybody)})
        except Exception:  # process 0, which would know, does not answer
            lost = [0]
        if lost and not _over.is_set():
            _leave(f"process {lost[0]} has ended or cannot be reached; {_AGAIN}")


def check_left() -> None:
    """Ends this process if another one has announced that it ends."""
    client: Any = global_state.client
    try:
        left = client.key_value_dir_get(_LEFT)
    except Exception:  # process 0 does not answer; the watch will tell
        return
    if not left or _over.is_set():
        return
    number = int(left[0][0].rpartition("/")[2])
    status, _, reason = left[0][1].partition(" ")
    if int(status or FAILED) == USAGE:
        _leave(f"process {number} ended: {reason}", USAGE)
    reason = reason or "no reason given"
    _leave(f"process {number} has ended or cannot be reached ({reason}); {_AGAIN}")


def _leave(reason: str, status: int = FAILED) -> NoReturn:
    if not _leaving.acquire(blocking=False):  # another thread ends this process
        threading.Event().wait()
    _over.set()
    say(reason)
    with contextlib.suppress(Exception):
        _let_others_go_first(f"{status} {reason[:500]}")
    os._exit(status)


def say(reason: str) -> None:
    """Tells people why this process ends."""
    where = f"cnnjax: process {global_state.process_id}"
    for stream in (sys.stderr, sys.stdout):
        with contextlib.suppress(OSError, ValueError):
            if stream is sys.stderr:
                print(f"{where}: error: {printable(reason)}", file=stream)
            stream.flush()


def _let_others_go_first(word: str) -> None:
    """Keeps process 0 until the others have left: JAX aborts them once it is gone."""
    client: Any = global_state.client
    client.key_value_set(f"{_LEFT}/{global_state.process_id}", word)
    deadline = time.monotonic() + 2 * WATCH_SECONDS
    while global_state.process_id == 0 and time.monotonic() < deadline:
        if len(client.key_value_dir_get(_LEFT)) == global_state.num_processes:
            time.sleep(FAREWELL_SECONDS)
            break
        time.sleep(0.05)
