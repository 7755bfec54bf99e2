"""Processes that load batches, for loaders that threads cannot speed up."""

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import weakref
from collections.abc import Sequence
from typing import Any, Generic

import cloudpickle

from cnnjax.data.prefetch import Item, RandomAccess
from cnnjax.data.worker import IGNORED
from cnnjax.errors import DataError


class WorkerProcesses(Generic[Item]):
    """Items that worker processes load; one thread per process may ask at a time.

    Each process is a new Python interpreter that runs ``cnnjax.data.worker``, not a
    fork of this one, which would lack its threads. It never imports the main script,
    and it ends when this process does.

    Args:
        items: the items to load; sent to each process once.
        count: number of processes.

    Raises:
        DataError: items that cannot be sent.
    """

    def __init__(self, items: RandomAccess[Item], count: int):
        self._processes: list[subprocess.Popen[bytes]] = []
        self._length = len(items)
        try:
            self._content = cloudpickle.dumps(items)
        except Exception as error:  # a loader may hold anything
            raise DataError(
                f"data.worker_processes is {count}, but the data cannot be sent to"
                f" other processes ({type(error).__name__}: {error}): set it to 0, or"
                " let the loader open files only when it reads"
            ) from error
        weakref.finalize(self, _end_all, self._processes)
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        self._new = set()
        for _ in range(count):
            process = _start()
            self._processes.append(process)
            self._new.add(process.pid)
            self._idle.put(process)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int | slice) -> Item:
        process = self._idle.get()
        try:
            answer = self._ask(process, index)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise DataError(
                f"a worker process that loads data ended ({_end(process)}): if it ran"
                " out of memory, set data.worker_processes to a smaller number"
            ) from error
        finally:
            self._idle.put(process)
        if isinstance(answer, DataError):
            raise answer
        return answer

    def _ask(self, process: subprocess.Popen[bytes], index: int | slice) -> Any:
        assert process.stdin and process.stdout
        if process.pid in self._new:
            self._new.remove(process.pid)
            pickle.dump(self._content, process.stdin)
        pickle.dump(index, process.stdin)
        process.stdin.flush()
        return pickle.load(process.stdout)


def _start() -> subprocess.Popen[bytes]:
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; from cnnjax.data.worker import serve;"
        " serve()"
    )
    # A process inherits the blocked signals of its parent.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED)
    try:
        return subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},  # the devices are taken
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_all(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        with contextlib.suppress(BrokenPipeError), process:  # closes pipes, and waits
            pass


def _end(process: subprocess.Popen[bytes]) -> str:
    code = process.wait()
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
