"""The Python API: train a network and use it, from a script or a notebook."""

import functools
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from cnnjax import inference
from cnnjax.config import Config, flatten
from cnnjax.config.files import check_config, load_config
from cnnjax.config.values import FROM_PYTHON
from cnnjax.data import Dataset, RawDataset, make_dataset
from cnnjax.errors import ConfigError, show
from cnnjax.files import expand_path
from cnnjax.inference.run_report import report_at_end
from cnnjax.report import Callback, make_reporter, read_metrics
from cnnjax.report.reporters import METRICS
from cnnjax.train.machine.determinism import request_determinism
from cnnjax.train.machine.platform import check_platform
from cnnjax.train.run import loop
from cnnjax.train.run.evaluate_run import evaluate_run
from cnnjax.train.run.evaluation import Score
from cnnjax.train.run.experiment import Parts
from cnnjax.train.step.loss import tasks_of
from cnnjax.typing import Params

Data = str | tuple[Any, Any] | RawDataset | Dataset
PROGRESS = ("auto", "bar", "lines", "none")


@dataclass(frozen=True)
class TrainedRun:
    """A finished run.

    Attributes:
        workdir: its working directory.
        test: its score on the test split.
        history: the logged metrics as arrays, by kind and name:
            ``history["validation"]["accuracy"]``. Kinds are "train", "validation" and
            "test"; each has "step" and "epoch". Empty if the setting ``report`` leaves
            out "jsonl".
    """

    workdir: Path
    test: Score
    history: Mapping[str, Mapping[str, np.ndarray]]
    _module: nn.Module | None = field(default=None, repr=False)

    @functools.cached_property
    def trained(self) -> inference.TrainedModel:
        """The model as it came out of training, for predictions."""
        return inference.load(self.workdir, model=self._module)

    @property
    def model(self) -> nn.Module:
        """The network, a Flax module."""
        return self.trained.model

    @property
    def variables(self) -> Params:
        """Its trained variables, for ``model.apply(variables, x, train=False)``."""
        return self.trained.variables

    def predict(self, images: Any, k: int = 5) -> Any:
        """Classes and probabilities; see ``TrainedModel.predict``."""
        return self.trained.predict(images, k)

    def evaluate(self, data: Data) -> Score:
        """The score on other data; see ``cnnjax.evaluate``."""
        return inference.evaluate_on(self.trained, data, augment=()).score


def train(
    config: Config | Mapping[str, Any] | str | os.PathLike | None = None,
    *,
    workdir: str | os.PathLike | None = None,
    data: Data | None = None,
    model: str | nn.Module | None = None,
    callbacks: Sequence[Callback] = (),
    progress: str = "auto",
    resume: str = "auto",
) -> TrainedRun:
    """Trains a network, or resumes its training.

    Like ``cnnjax train``, it leaves everything in ``workdir``, and the same call
    resumes a run that was stopped. ``report.html`` is written at the end if the run has
    a folder of its own; leave ``"html"`` out of the setting ``report`` to save that
    time.

    Args:
        config: changes to the default settings, nested or by dotted names; a
            ``ConfigDict``; or a config file.
        workdir: the run's own folder; by default ``runs/NAME`` for ``NAME.py``, and a
            new temporary folder for other configs.
        data: a source such as ``"npz:letters.npz"``, ``(images, labels)``, or a
            ``RawDataset`` or ``Dataset`` of your own; by default ``data.source``.
            Missing splits are held out. To resume, pass the same arrays again.
        model: a name in ``cnnjax.models.MODELS``, ``"module:attribute"``, or a Flax
            module that maps ``(images, train)`` to logits ``(batch, num_classes)``; by
            default ``model.name``.
        callbacks: objects that are called during the run; see ``Callback``.
        progress: ``"bar"``, ``"lines"``, ``"none"``, or ``"auto"``: a bar on a
            terminal, and lines elsewhere.
        resume: ``"auto"``, ``"never"``, or another run to branch off from.

    Raises:
        ConfigError: invalid settings or arguments.
        DataError: data that cannot be used.
        NonFiniteLossError: a loss that is NaN or infinite.
        Interrupted: a signal, such as SIGINT from Ctrl-C, stopped the run; its state
            is saved.

    Example::

        >>> import cnnjax
        >>> run = cnnjax.train(
        ...     {"duration": "2 epochs", "model.widths": (8, 8)},
        ...     data="digits",
        ...     progress="none",
        ... )
        >>> run.history["validation"]["accuracy"].shape
        (2,)
    """
    if progress not in PROGRESS:
        raise ConfigError(
            f"progress is {show(progress)}, expected one of {', '.join(PROGRESS)}"
        )
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise ConfigError(
                f"callbacks holds {show(callback)}, expected objects of a subclass of"
                " cnnjax.Callback"
            )
    settings = _settings(config)
    module = None
    if isinstance(model, nn.Module):
        module, settings["model.name"] = model, FROM_PYTHON
    elif model is not None:
        settings["model.name"] = model
    dataset = None
    if isinstance(data, str):
        settings["data.source"] = data
    elif data is not None:
        settings["data.source"] = FROM_PYTHON
    checked = check_config(settings)
    if data is not None and not isinstance(data, str):
        dataset = _dataset(data, checked)
    folder = _folder(workdir, config)
    if checked.deterministic:
        request_determinism()
    check_platform()
    reporter = make_reporter(
        folder, checked.report, dict(flatten(checked.to_dict())), callbacks, progress
    )
    try:
        parts = Parts(dataset, module)
        ended = loop.train(checked, folder, reporter, resume, parts=parts)
        if workdir is not None or isinstance(config, str | os.PathLike):
            report_at_end(ended, reporter.message)
    finally:
        reporter.close()
    return TrainedRun(folder, ended.test, _history(folder, checked.report), module)


def evaluate(
    workdir: str | os.PathLike,
    data: Data | None = None,
    *,
    split: str | None = None,
    step: str | int | None = None,
    model: nn.Module | None = None,
) -> Score:
    """The score of a trained run.

    Args:
        workdir: its working directory.
        data: a source, ``(images, labels)``, or a ``RawDataset`` or ``Dataset``; by
            default the data that the run was trained on.
        split: ``"train"``, ``"validation"`` or ``"test"``; by default the test split
            if the data has one, else all of it.
        step: ``"best"``, ``"last"`` or a step; by default the state that training
            ended with.
        model: the network, if the run was trained on a module that has no name.

    Raises:
        ConfigError: no run in ``workdir``, or data that does not fit its model.
        DataError: data that cannot be used.
    """
    if data is None:
        return evaluate_run(Path(workdir), split or "test", step)
    trained = inference.load(workdir, step, model=model)
    return inference.evaluate_on(trained, data, split, augment=()).score


def _settings(config: Any) -> dict[str, Any]:
    """The settings of a config in any form, by their dotted names."""
    if config is None:
        return {}
    if isinstance(config, ConfigDict):
        return dict(flatten(config.to_dict()))
    if isinstance(config, Mapping):
        return dict(flatten(config))
    if isinstance(config, str | os.PathLike):
        return dict(flatten(load_config(os.fspath(config)).to_dict()))
    raise ConfigError(
        f"config is {show(config)}, expected a dict of settings, a ConfigDict, or the"
        " path of a config file"
    )


def _dataset(data: Any, config: Config) -> Dataset:
    """The checked splits of data that was passed in."""
    data = inference.as_raw(data)
    if isinstance(data, Dataset):
        return data
    return make_dataset(
        data,
        validation_fraction=config.data.validation_fraction,
        test_fraction=config.data.test_fraction,
        seed=config.seed,
        tasks=tasks_of(config.loss.name),
    )


def _folder(workdir: Any, config: Any) -> Path:
    if workdir is not None:
        return expand_path(workdir, "workdir")
    if isinstance(config, str | os.PathLike):
        return Path("runs") / Path(config).stem
    return Path(tempfile.mkdtemp(prefix="cnnjax-")) / "run"


def _history(workdir: Path, report: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """The records of a metrics file as arrays, by kind and name."""
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    if "jsonl" not in report:
        return {}
    for record in read_metrics(workdir / METRICS):
        kinds.setdefault(str(record["kind"]), []).append(record)
    return {
        kind: {
            name: np.array([record.get(name, np.nan) for record in records])
            for name in records[-1]
            if name != "kind"
        }
        for kind, records in kinds.items()
    }
