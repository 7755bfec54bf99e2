"""A profiler's trace of some steps of a run, in its working directory.

The trace holds exactly the chosen steps: all work before the first is done when it
begins, and all work of the last is done when it ends. What the steps compute does not
change.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from cnnjax.errors import ConfigError
from cnnjax.train.machine.processes import is_first
from cnnjax.train.run.prepare import Run
from cnnjax.typing import Reporter

FOLDER = "profile"


def _check(steps: range, run: Run) -> None:
    """Refuses steps that the run does not have, and a folder that leads elsewhere.

    Raises:
        ConfigError: with what to do.
    """
    total = run.experiment.lengths.total
    if steps.stop > total + 1:
        raise ConfigError(
            f"--profile is {steps.start}:{steps.stop}, but the run ends with step"
            f" {total}, expected STOP to be at most {total + 1}"
        )
    folder = run.hold.workdir / FOLDER
    if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
        raise ConfigError(
            f"{folder} is not a folder, so --profile cannot write the trace there;"
            " remove it"
        )


class Trace:
    """Which steps are traced, and whether they are being traced now.

    Args:
        steps: their numbers; empty for none.
        workdir: of the run; the trace goes to ``profile`` in it.
        reporter: is told where the trace is.
    """

    def __init__(self, steps: range, workdir: Path, reporter: Reporter):
        self._steps, self._folder = steps, workdir / FOLDER
        self._reporter = reporter
        self._is_active = self._is_over = False

    def tell_resumed(self, step: int) -> None:
        """Tells if a resumed run has trained some of the steps already.

        Args:
            step: the state's; the next one is trained first.
        """
        if not self._steps:
            return
        if self._steps.stop <= step + 1:
            self._reporter.message(
                "the steps of --profile have passed, as the run has trained step"
                f" {step}; nothing is traced"
            )
        elif self._steps.start <= step:
            self._reporter.message(
                f"--profile begins with step {step + 1}, where the run resumes"
            )

    @contextlib.contextmanager
    def step(self, number: int, state: Any) -> Iterator[None]:
        """Traces the step dispatched within, if it is one of them.

        Args:
            number: of the step.
            state: on the device, before it.
        """
        if self._is_over or number not in self._steps or not is_first():
            yield
            return
        if not self._is_active:
            jax.block_until_ready(state)
            jax.profiler.start_trace(self._folder)
            self._is_active = True
        with jax.profiler.StepTraceAnnotation("train", step_num=number):
            yield

    def stop_after(self, number: int, results: Any) -> None:
        """Ends and writes the trace if ``number`` is its last step.

        Args:
            number: of the step that was dispatched last.
            results: of that step, on the device.
        """
        if self._is_active and number >= self._steps[-1]:
            jax.block_until_ready(results)
            self.close()

    def close(self) -> None:
        """Writes what was traced so far, if anything."""
        if not self._is_active:
            return
        self._is_active, self._is_over = False, True
        try:
            jax.profiler.stop_trace()
        except (OSError, RuntimeError) as error:  # training matters more
            self._reporter.message(f"the trace could not be written: {error}")
            return
        self._reporter.message(f"the trace of --profile is in {self._folder}")


@contextlib.contextmanager
def tracing(steps: range, run: Run) -> Iterator[Trace]:
    """A trace, of the first process only; it is written even if the run ends early.

    Args:
        steps: their numbers; empty for none.
        run: which trains them.

    Raises:
        ConfigError: steps after the end of the run, or a file or a link in place of
            the folder of the trace.
    """
    if steps:
        _check(steps, run)
    trace = Trace(steps, run.hold.workdir, run.reporter)
    try:
        yield trace
    finally:
        trace.close()
