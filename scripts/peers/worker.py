"""The driver's side of a worker: a process that takes steps on request."""

import contextlib
import json
import os
import selectors
import subprocess
from pathlib import Path
from typing import Any

from peers.others import read_clock, share_of_others
from peers.protocol import Task
from peers.roster import Peer

SCRIPTS = Path(__file__).parents[1]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class WorkerError(RuntimeError):
    """A worker died or does not reply; the message has the end of its log."""


class Worker:
    """A peer's process with one network.

    Args:
        python: the interpreter of its environment.
        peer: what it runs.
        task: what it builds.
        log: file for what the framework says.
        timeout_seconds: how long it may take for one answer.

    Attributes:
        others: the share of the machine that other processes took, turn by turn.
    """

    def __init__(
        self,
        python: str,
        peer: Peer,
        task: Task,
        log: Path,
        timeout_seconds: float,
        platform: str = "cpu",
    ):
        self._log, self._timeout = log, timeout_seconds
        self.others: list = []
        path = [str(SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])]
        threads = dict.fromkeys(THREAD_VARIABLES, str(task.threads))
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "JAX_PLATFORMS": platform}
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [python, "-m", peer.worker, json.dumps(task._asdict())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=os.environ
                | threads
                | quiet
                | peer.variables
                | {"PYTHONPATH": os.pathsep.join(path)},
            )

    def ready(self) -> dict:
        """The worker's report on its network, once it is built and warm.

        Raises:
            WorkerError: it died, or took too long.
        """
        return self._read()

    def take(self, steps: int) -> list:
        """The seconds of each of some steps.

        Raises:
            WorkerError: it died, or took too long.
        """
        assert self._process.stdin
        before = read_clock(self._process.pid)
        with contextlib.suppress(BrokenPipeError):  # the next read reports why
            self._process.stdin.write(f"{steps}\n".encode())
            self._process.stdin.flush()
        seconds = self._read()
        self.others.append(share_of_others(before, read_clock(self._process.pid)))
        return seconds

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _read(self) -> Any:
        stream = self._process.stdout
        assert stream
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            if not selector.select(self._timeout):
                raise WorkerError(f"no answer in {self._timeout:g} seconds")
        line = stream.readline()
        if not line:
            status = self._process.wait()
            raise WorkerError(f"ended with status {status}: {self._last_words()}")
        return json.loads(line)

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no word"
