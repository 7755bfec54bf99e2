"""Whole runs in a working directory: train one, or evaluate a trained one."""

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from cnnjax.config import Config, ConfigError
from cnnjax.config_file import from_json, to_json
from cnnjax.data import Batch, read_normalization, train_batches, write_normalization
from cnnjax.ops import gradients
from cnnjax.train import compilation_cache, data_identity
from cnnjax.train.checkpoint import Checkpoints, Restored
from cnnjax.train.evaluation import Score, evaluate
from cnnjax.train.experiment import Experiment, make_experiment
from cnnjax.train.interruption import watch
from cnnjax.train.lock import lock
from cnnjax.train.loop import Loop
from cnnjax.train.resume import check_config
from cnnjax.train.state import TrainState, count_parameters, make_state
from cnnjax.train.step import make_eval_step, make_train_step
from cnnjax.typing import Reporter

CONFIG = "config.json"
NORMALIZATION = "normalization.json"
CHECKPOINTS = "checkpoints"


class Result(NamedTuple):
    """The state at the end of a run and its score on the test split."""

    state: TrainState
    test: Score


def train(
    config: Config, workdir: str | Path, reporter: Reporter, resume: str = "auto"
) -> Result:
    """Trains as ``config`` says and leaves everything in ``workdir``.

    Writes ``config.json``, ``normalization.json`` and ``checkpoints/``; what the
    reporter writes comes to that. A run that is there already goes on from its newest
    checkpoint, at the very next batch, and ends as if it had never stopped.

    Args:
        config: checked settings.
        workdir: the run's own folder.
        reporter: is told of everything.
        resume: ``"auto"``; or ``"never"``, which refuses a folder that holds a run.

    Raises:
        ConfigError: settings that cannot be or that the run cannot go on with, or a
            ``workdir`` that is in use or cannot be written.
        DataError: data that cannot be read.
        CheckpointError: a state that cannot be written, or is of another network.
        NonFiniteLossError: a loss that is NaN or infinite.
        Interrupted: a signal asked the run to stop; its state is saved.
    """
    workdir = Path(workdir)
    changes = _check_workdir(workdir, config, resume)
    compilation_cache.enable(config.compilation_cache)
    known = workdir / NORMALIZATION
    experiment = make_experiment(
        config, read_normalization(known) if known.exists() else None
    )
    data_identity.check(workdir, experiment.dataset)
    start = _make_state(experiment, config)
    with lock(workdir), watch() as stop:
        _write(workdir, config, experiment)
        checkpoints = Checkpoints(
            workdir / CHECKPOINTS, config.checkpoint.keep, reporter.message
        )
        try:
            found = checkpoints.restore(start) or Restored(start, {})
            info = _describe(config, workdir, experiment, found.state)
            reporter.start({**info, "start_step": int(found.state.step)})
            for change in changes:
                reporter.message(f"changed setting {change}")
            return _train(config, experiment, found, checkpoints, reporter, stop)
        finally:
            checkpoints.close()


def _train(config, experiment, found, checkpoints, reporter, stop) -> Result:
    """Takes the steps that are left, and scores the end on the test split."""
    state, notes = found
    if state.step:
        reporter.message(f"going on after step {int(state.step)}")
    best = notes.get("best")
    score = _make_score(config, experiment)

    def save(state, validation):
        nonlocal best
        if validation and not (best and best["loss"] <= validation.loss):
            best = {"step": int(state.step), **validation._asdict()}
        notes = {"seconds": loop.seconds(), "best": best}
        checkpoints.save(state, notes, validation and validation.loss)

    loop = Loop(
        _compile_step(config, experiment, state, reporter),
        lambda state: score(state, experiment.dataset.validation),
        save,
        reporter,
        experiment.lengths,
        batch_size=config.batch_size,
        examples=len(experiment.dataset.train.labels),
        seconds_before=notes.get("seconds", 0.0),
    )
    first = int(state.step)
    batches = train_batches(
        experiment.dataset.train,
        config.batch_size,
        config.seed,
        start_step=first,
        num_steps=max(experiment.lengths.total - first, 0),
    )
    state = loop.run(state, batches, stop)
    checkpoints.finish()
    test = score(state, experiment.dataset.test)
    loop.log("test", int(state.step), test._asdict())
    return Result(state, test)


def evaluate_run(workdir: str | Path, split: str) -> Score:
    """The score of a trained run on one of its splits.

    Args:
        workdir: where ``train`` left the run.
        split: ``"train"``, ``"validation"`` or ``"test"``.

    Raises:
        ConfigError: no run in ``workdir``.
        CheckpointError: a state of another network or optimizer.
        FileNotFoundError: a run that saved no state.
    """
    workdir = Path(workdir)
    if not (workdir / CONFIG).is_file():
        raise ConfigError(f"no run in {workdir}: there is no {workdir / CONFIG}")
    config = from_json((workdir / CONFIG).read_text())
    compilation_cache.enable(config.compilation_cache)
    experiment = make_experiment(config, read_normalization(workdir / NORMALIZATION))
    data_identity.check(workdir, experiment.dataset)
    state = make_run_state(experiment, config, workdir)
    return _make_score(config, experiment)(state, getattr(experiment.dataset, split))


def _check_workdir(workdir: Path, config: Config, resume: str) -> list[str]:
    """The settings that changed since the run in ``workdir`` was started, if any."""
    if workdir.exists() and not workdir.is_dir():
        raise ConfigError(f"workdir {workdir} is a file, expected a folder")
    if not (workdir / CONFIG).exists():
        if (workdir / CHECKPOINTS).exists():
            raise ConfigError(
                f"{workdir} holds checkpoints but no {CONFIG}, so nobody knows of what"
                " run; give another --workdir, or remove it"
            )
        return []
    if resume == "never":
        raise ConfigError(
            f"{workdir} holds a run already, and --resume=never does not touch it; give"
            " another --workdir"
        )
    return check_config(workdir / CONFIG, config)


def _write(workdir: Path, config: Config, experiment: Experiment) -> None:
    """Writes what describes the run; the config last, for it is what makes a run."""
    write_normalization(experiment.normalization, workdir / NORMALIZATION)
    data_identity.write(workdir, experiment.dataset)
    draft = workdir / f"{CONFIG}.new"
    draft.write_text(to_json(config))
    draft.replace(workdir / CONFIG)


def make_run_state(
    experiment: Experiment, config: Config, workdir: str | Path | None = None
) -> TrainState:
    """The state at the start of a run, or the trained one that ``workdir`` holds.

    Raises:
        ConfigError: images that the network cannot take.
        CheckpointError: a state of another network or optimizer.
        FileNotFoundError: no whole state in ``workdir``.
    """
    start = _make_state(experiment, config)
    if workdir is None:
        return start
    folder = Path(workdir) / CHECKPOINTS
    found = None
    if folder.is_dir():
        checkpoints = Checkpoints(folder, tell=_warn, read_only=True)
        found = checkpoints.restore(start)
        checkpoints.close()
    if found is None:
        raise FileNotFoundError(f"no whole state in {folder}: train the run first")
    return found.state


def _warn(text: str) -> None:
    print(f"cnnjax: {text}", file=sys.stderr)


def _make_state(experiment: Experiment, config: Config) -> TrainState:
    shape = experiment.dataset.train.images.shape[1:]
    try:
        return make_state(experiment.model, experiment.optimizer, shape, config.seed)
    except ValueError as error:
        raise ConfigError(
            f"model {config.model.name!r} cannot take images of shape {shape}: {error}"
        ) from error


def _make_score(config: Config, experiment: Experiment):
    eval_step = make_eval_step(
        experiment.model, experiment.loss, experiment.normalization
    )
    largest = max(len(split.labels) for split in experiment.dataset[:3])
    batch_size = min(config.eval_batch_size, largest)
    return partial(evaluate, jax.jit(eval_step), batch_size=batch_size)


def _compile_step(config, experiment, state, reporter):
    """The compiled training step; compiled ahead, so that no step's time holds it."""
    begin = time.perf_counter()
    compiled = lower_step(config, experiment, state).compile()
    reporter.message(f"step compiled in {time.perf_counter() - begin:.1f} s")
    return compiled


def lower_step(
    config: Config, experiment: Experiment, state: TrainState
) -> jax.stages.Lowered:
    """The training step for the device, with the gradients that ``config`` asks for."""
    step = make_train_step(
        experiment.model,
        experiment.optimizer,
        experiment.loss,
        experiment.normalization,
        experiment.schedule,
        crop_padding=config.data.crop_padding,
        flip=config.data.flip,
    )
    with gradients(config.gradients):
        return jax.jit(step, donate_argnums=0).lower(
            state, _batch_shapes(config, experiment)
        )


def _batch_shapes(config, experiment):
    images, labels = experiment.dataset.train
    n = config.batch_size
    return Batch(
        jax.ShapeDtypeStruct((n, *images.shape[1:]), images.dtype),
        jax.ShapeDtypeStruct((n,), labels.dtype),
        jax.ShapeDtypeStruct((n,), "float32"),
    )


def _describe(config, workdir, experiment, state) -> dict[str, Any]:
    lengths, examples = experiment.lengths, len(experiment.dataset.train.labels)
    device = jax.devices()[0]
    return {
        "name": config.model.name,
        "total_steps": lengths.total,
        "examples": examples,
        "epochs": round(lengths.total * config.batch_size / examples, 2),
        "batch_size": config.batch_size,
        "parameters": count_parameters(state.params),
        "device": f"{device.platform} ({device.device_kind})",
        "workdir": str(workdir),
    }
