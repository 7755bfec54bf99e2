"""The training loop: ``train`` is the whole life of a run, top to bottom."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax

from cnnjax.config import Config
from cnnjax.data.tasks import REGRESSION
from cnnjax.errors import Interrupted, NonFiniteLossError
from cnnjax.progress import elapsing, shown_by
from cnnjax.train.machine.compile_calls import compile_calls
from cnnjax.train.machine.signals import watch
from cnnjax.train.machine.stop_request import StopRequest, agree
from cnnjax.train.run.calls import Calls, make_calls
from cnnjax.train.run.checkpoint import Checkpoints
from cnnjax.train.run.details import has_tracker, make_layer_report, report_outputs
from cnnjax.train.run.evaluation import Score
from cnnjax.train.run.experiment import ALL_FROM_CONFIG, Parts
from cnnjax.train.run.freezing import describe_trained, stage_after
from cnnjax.train.run.meter import Meter
from cnnjax.train.run.prepare import Run, prepare
from cnnjax.train.run.progress import Progress, judge
from cnnjax.train.run.resume import resume_run, roll_back
from cnnjax.train.run.spike_trace import SpikeTrace
from cnnjax.train.run.trace import tracing
from cnnjax.train.run.trained import wants_best
from cnnjax.train.step.divergence import check_weights
from cnnjax.train.step.loss import TrainMetrics
from cnnjax.train.step.state import TrainState
from cnnjax.typing import Reporter


class Result(NamedTuple):
    """A run that has ended: its final state, and the score on the test split."""

    state: TrainState
    test: Score
    run: Run


class Running(NamedTuple):
    """A call that was dispatched and whose metrics are not fetched yet.

    Attributes:
        steps: the numbers of its steps.
        metrics: on the device.
        requests: those of all processes together, on the device; ``None`` for one.
    """

    steps: range
    metrics: TrainMetrics
    requests: Any


def train(
    config: Config,
    workdir: str | Path,
    reporter: Reporter,
    resume: str = "auto",
    watch_state: Callable[[TrainState], None] | None = None,
    parts: Parts = ALL_FROM_CONFIG,
    profile: range = range(0),
) -> Result:
    """Trains as ``config`` says and leaves everything in ``workdir``.

    Writes ``config.json``, ``normalization.json``, ``data.json`` and ``checkpoints/``;
    the reporter may write more. A run that exists is resumed from its newest
    checkpoint, at the very next batch, and ends as if it had never stopped.

    A call takes up to ``steps_per_call`` steps, and ends where something happens. One
    call is always in flight while the host fetches the metrics of the one before and
    puts the next batches on the device, so that the device does not wait for the host.

    Args:
        config: checked settings.
        workdir: the run's own working directory.
        reporter: receives progress, metrics and messages.
        resume: ``"auto"``; ``"never"``, which refuses a folder that holds a run; or
            another run's working directory or checkpoint, from whose state a new run
            continues exactly.
        watch_state: is shown the state after each step, for checks.
        parts: of the run that a Python caller has made.
        profile: the steps to trace; the trace goes to ``profile`` in ``workdir``.

    Raises:
        ConfigError: invalid settings, settings with which the run cannot be resumed, or
            a ``workdir`` that is in use or cannot be written.
        DataError: data that cannot be read.
        CheckpointError: a state that cannot be written, or is of another network.
        FileNotFoundError: another run that holds no intact checkpoint.
        NonFiniteLossError: a loss that is NaN or infinite.
        Interrupted: a signal asked the run to stop; its state is saved.
    """
    with (
        shown_by(reporter.progress),
        prepare(config, Path(workdir), reporter, resume, parts) as run,
        tracing(profile, run) as trace,
        watch() as stop,
        contextlib.closing(run.open_checkpoints()) as checkpoints,
    ):
        state, progress = resume_run(run, checkpoints)
        trace.tell_resumed(int(state.step))
        lengths, step = run.experiment.lengths, int(state.step)
        one_by_one, reports_layers = watch_state is not None, has_tracker(run)
        calls = make_calls(config, lengths, profile, reports_layers, one_by_one)
        train_steps, report_layers = _compile(run, calls, state), make_layer_report(run)
        meter = _start_meter(run, progress)
        first, batches, running = step, run.batches(step, calls), None
        last_save = time.perf_counter()
        if not run.is_finished(step, progress):
            run.write_files(progress)
        while not run.is_finished(step, progress):
            before, step = step, calls.end(step)
            steps = range(before + 1, step + 1)
            try:
                if before > first and before in lengths.unfreeze:
                    with meter.pause():
                        train_steps = _compile(run, calls, state)
                if running and not batches.is_ready():
                    jax.block_until_ready(running.metrics)  # no wait for data so far
                with meter.host_work():
                    batch = meter.next_batch(batches)
                if report_layers and steps[0] % lengths.report_every == 0:
                    jax.block_until_ready(running and running.metrics)
                    with meter.pause():
                        report_layers(steps[0], state)
                # The host's work ends once the call is dispatched.
                with trace.step(steps[0], state), meter.host_work():
                    request = _request(stop, run, last_save)
                    state, metrics, requests = train_steps(state, batch, request)
                running, done = Running(steps, metrics, requests), running
                trace.stop_after(step, state)
                if watch_state:
                    watch_state(state)
                if done:  # the call before: fetch, check and report its metrics
                    meter.call(done.steps, done.metrics, state)
                request = agree(done and done.requests, _request(stop, run, last_save))
                stops = request.signal or request.end
                saves = stops or request.save or lengths.saves_after(step)
                validates = step == lengths.total or step % lengths.eval_every == 0
                if not saves and not validates:
                    continue
                meter.call(running.steps, running.metrics, state)
                running = None  # nothing is in flight while the state is looked at
                if validates:
                    with meter.pause("validation"):
                        progress = _validate(run, meter, state, progress)
                    saves = saves or progress.best_step == step
                ends = run.is_finished(step, progress)
                if saves or ends:
                    with meter.pause("checkpoint"):
                        _save(run, checkpoints, meter, state, progress)
                        run.update_model_file(progress)
                    last_save = time.perf_counter()
                if request.signal and not ends:
                    checkpoints.finish()  # otherwise it may not be saved
                    stopped = Interrupted(request.signal, step)
                    reporter.end({"step": step, "reason": stopped.signal})
                    raise stopped
                if request.end:
                    break
            except NonFiniteLossError as error:
                state, progress = roll_back(run, checkpoints, progress, error, first)
                step = first = int(state.step)
                if stage_after(step, lengths) < stage_after(before, lengths):
                    train_steps = _compile(run, calls, state)
                batches, running = run.batches(step, calls), None
                meter.restart(progress.interval)
        return _finish(run, checkpoints, meter, state, progress)


def _compile(run: Run, calls: Calls, state: TrainState) -> Callable[..., Any]:
    """The next call, compiled ahead, so that no step's time includes that.

    It is that of all steps until the next stage of unfreezing.
    """
    stage = stage_after(int(state.step), run.experiment.lengths)
    if run.config.freeze:
        run.reporter.message(describe_trained(run.config, stage, state))
    begin = time.perf_counter()
    with elapsing("compiling the training step"):
        call = compile_calls(
            *(run.config, run.experiment, run.devices, state, stage),
            longest=calls.longest,
            images=run.images,
        )
    run.reporter.message(f"step compiled in {time.perf_counter() - begin:.1f} s")
    return call


def _start_meter(run: Run, progress: Progress) -> Meter:
    """A meter that continues where the last checkpoint was saved."""
    meter = Meter(
        run.reporter,
        run.experiment.lengths,
        batch_size=run.config.batch_size,
        examples=run.examples,
        trace_spike=SpikeTrace(run),
        seconds_before=progress.seconds,
        has_accuracy=run.experiment.dataset.task != REGRESSION,
        late_data=run.late_data(),
    )
    meter.restart(progress.interval)
    return meter


def _request(stop: Callable[[], int | None], run: Run, last_save: float) -> StopRequest:
    """What this process asks for: to stop, or to save by the clock.

    Args:
        stop: tells the number of a signal that came.
        run: whose reporter may ask to stop.
        last_save: when the last one was, on this process's clock.
    """
    seconds = run.experiment.lengths.save_seconds
    is_time = bool(seconds) and time.perf_counter() - last_save >= seconds
    return StopRequest(stop(), is_time, run.reporter.wants_stop())


def _validate(
    run: Run, meter: Meter, state: TrainState, progress: Progress
) -> Progress:
    """The progress after a validation, which is reported."""
    step, settings = int(state.step), run.config.early_stopping
    found = run.evaluate(state, run.experiment.dataset.validation)
    meter.log("validation", step, found.score.as_record())
    report_outputs(run, "validation", state, found)
    monitor, least = run.experiment.monitor, settings.min_improvement
    return judge(progress, step, found.score, monitor=monitor, least=least)


def _save(
    run: Run,
    checkpoints: Checkpoints,
    meter: Meter,
    state: TrainState,
    progress: Progress,
) -> None:
    """Starts a checkpoint, which is written while training continues.

    Raises:
        NonFiniteLossError: weights that are not finite.
        CheckpointError: the working directory is gone.
    """
    check_weights(state)
    now = progress._replace(seconds=meter.seconds(), interval=meter.interval())
    arrays = run.devices.fetch(state)  # a copy: the next step overwrites the state
    step = int(arrays["step"])
    notes = {
        "progress": now._asdict(),
        "next_example": step * run.config.batch_size,
        **run.notes(),
    }
    checkpoints.save(step, arrays, notes, progress.best_step)


def _finish(
    run: Run,
    checkpoints: Checkpoints,
    meter: Meter,
    state: TrainState,
    progress: Progress,
) -> Result:
    """Waits for the disk, takes the best state if it is wanted, and scores it."""
    step, best, tell = int(state.step), progress.best_step, run.reporter.message
    checkpoints.finish()
    run.update_model_file(progress)
    if step >= run.experiment.lengths.total:
        reason = "finished"
    elif progress.is_out_of_patience(run.config):
        reason = "early stopping"
    else:
        reason = "callback"
        tell(
            f"stopping after step {step}, as a callback asked; rerun with the same"
            " settings to resume"
        )
    if progress.is_out_of_patience(run.config) and best is not None:
        tell(
            f"stopping early after step {step}: {progress.stale} validations were no"
            f" better than that of step {best}"
        )
    if wants_best(run.config) and best not in (None, step):
        if found := checkpoints.restore(run.shapes, best, has_another=True):
            tell(f"taking the best state, of step {best}")
            state = run.devices.put_state(TrainState(**found.arrays))
        else:
            tell(
                f"the best state, of step {best}, is missing or damaged; taking the"
                f" last one, of step {step}"
            )
    test = run.evaluate(state, run.experiment.dataset.test)
    meter.log("test", int(state.step), test.score.as_record())
    report_outputs(run, "test", state, test)
    run.reporter.end({"step": step, "reason": reason})
    return Result(state, test.score, run)
