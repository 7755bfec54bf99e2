"""Whole runs in a working directory: train one, or evaluate a trained one."""

import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from cnnjax.config import Config, ConfigError
from cnnjax.config_file import from_json, to_json
from cnnjax.data import Batch, read_normalization, train_batches, write_normalization
from cnnjax.train import checkpoint, compilation_cache
from cnnjax.train.evaluation import Score, evaluate
from cnnjax.train.experiment import Experiment, make_experiment
from cnnjax.train.loop import Loop
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


def train(config: Config, workdir: str | Path, reporter: Reporter) -> Result:
    """Trains as ``config`` says and leaves everything in ``workdir``.

    Writes ``config.json``, ``normalization.json`` and ``checkpoints/``; what the
    reporter writes comes to that.

    Raises:
        ConfigError: settings that cannot be, or a ``workdir`` with another run in it.
        DataError: data that cannot be read.
        NonFiniteLossError: a loss that is NaN or infinite.
    """
    workdir = Path(workdir)
    _claim(workdir)
    compilation_cache.enable(config.compilation_cache)
    experiment = make_experiment(config)
    state = make_run_state(experiment, config)
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / CONFIG).write_text(to_json(config))
    write_normalization(experiment.normalization, workdir / NORMALIZATION)
    reporter.start(_describe(config, workdir, experiment, state))
    batches = train_batches(
        experiment.dataset.train,
        config.batch_size,
        config.seed,
        num_steps=experiment.lengths.total,
    )
    score = _make_score(config, experiment)
    loop = Loop(
        _compile_step(config, experiment, state, reporter),
        lambda state: score(state, experiment.dataset.validation),
        reporter,
        experiment.lengths,
        batch_size=config.batch_size,
        examples=len(experiment.dataset.train.labels),
    )
    state = loop.run(state, batches)
    checkpoint.save(workdir / CHECKPOINTS, state)
    test = score(state, experiment.dataset.test)
    loop.log("test", experiment.lengths.total, test._asdict())
    return Result(state, test)


def evaluate_run(workdir: str | Path, split: str) -> Score:
    """The score of a trained run on one of its splits.

    Args:
        workdir: where ``train`` left the run.
        split: ``"train"``, ``"validation"`` or ``"test"``.

    Raises:
        ConfigError: no run in ``workdir``.
        FileNotFoundError: a run that was not finished.
    """
    workdir = Path(workdir)
    if not (workdir / CONFIG).is_file():
        raise ConfigError(f"no run in {workdir}: there is no {workdir / CONFIG}")
    config = from_json((workdir / CONFIG).read_text())
    compilation_cache.enable(config.compilation_cache)
    experiment = make_experiment(config, read_normalization(workdir / NORMALIZATION))
    state = make_run_state(experiment, config, workdir)
    return _make_score(config, experiment)(state, getattr(experiment.dataset, split))


def _claim(workdir: Path) -> None:
    """Refuses a folder that holds a run already: nothing is overwritten."""
    if (workdir / CONFIG).exists():
        raise ConfigError(
            f"{workdir} holds a run already; give another --workdir, or remove that one"
        )
    if workdir.exists() and not workdir.is_dir():
        raise ConfigError(f"workdir {workdir} is a file, expected a folder")


def make_run_state(
    experiment: Experiment, config: Config, workdir: str | Path | None = None
) -> TrainState:
    """The state at the start of a run, or the trained one that ``workdir`` holds.

    Raises:
        ConfigError: images that the network cannot take.
        FileNotFoundError: no finished state in ``workdir``.
    """
    start = _make_state(experiment, config)
    if workdir is None:
        return start
    return checkpoint.restore(Path(workdir) / CHECKPOINTS, start)


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
    return partial(evaluate, jax.jit(eval_step), batch_size=config.eval_batch_size)


def _compile_step(config, experiment, state, reporter):
    """The compiled training step; compiled ahead, so that no step's time holds it."""
    step = make_train_step(
        experiment.model,
        experiment.optimizer,
        experiment.loss,
        experiment.normalization,
        experiment.schedule,
        crop_padding=config.data.crop_padding,
        flip=config.data.flip,
    )
    begin = time.perf_counter()
    lowered = jax.jit(step, donate_argnums=0).lower(
        state, _batch_shapes(config, experiment)
    )
    compiled = lowered.compile()
    reporter.message(f"step compiled in {time.perf_counter() - begin:.1f} s")
    return compiled


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
