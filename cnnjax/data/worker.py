"""The program of a worker process: it loads the batches that its parent asks for.

Messages are pickles. The input is all batches as one object, followed by the numbers of
the batches that are wanted. The output is each of these batches, or its error. The end
of the input ends the program, so it never outlives its parent, however the parent ends.
"""

import contextlib
import os
import pickle
import signal
from typing import Any, BinaryIO

from cnnjax.errors import DataError

IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Signals that stop a run, which may still need batches until it has stopped."""


def serve() -> None:
    """Answers until the input ends."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a loader prints must not mix with the answers
    with contextlib.suppress(EOFError, BrokenPipeError):
        batches = _receive(requests)
        while True:
            answer = _load(batches, pickle.load(requests))
            pickle.dump(answer, answers, protocol=5)
            answers.flush()
    os._exit(0)  # does not wait for a loader's threads


def _receive(requests: BinaryIO) -> Any:
    """The batches, or an error if they cannot be unpickled here."""
    content = pickle.load(requests)
    try:
        return pickle.loads(content)
    except Exception as error:  # a loader's own classes may hold any code
        return DataError(f"{type(error).__name__}: {error}")


def _load(batches: Any, index: int | slice) -> Any:
    if isinstance(batches, DataError):
        return batches
    try:
        return batches[index]
    except DataError as error:
        return error
    except Exception as error:  # a loader's own function may raise anything
        return DataError(f"loading data failed: {type(error).__name__}: {error}")
