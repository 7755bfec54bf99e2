"""Facts about runs for reports: from their folders, or right after training."""

import platform
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnnjax import __version__
from cnnjax.config import Config, default_config, find, flatten
from cnnjax.data import Dataset, Split
from cnnjax.data.dataset import SPLITS
from cnnjax.data.tasks import (
    CLASSIFICATION,
    MULTILABEL,
    REGRESSION,
    SEGMENTATION,
    is_known,
)
from cnnjax.errors import CheckpointError, ConfigError, DataError
from cnnjax.inference.look_inside import example_names, find_label_maps, look_inside
from cnnjax.inference.trained_model import TrainedModel
from cnnjax.inference.wrong_labels import find_largest_losses
from cnnjax.json_file import read_json
from cnnjax.report.html import Doubtful, Predicted, RunFacts, SettingFact
from cnnjax.report.metrics_file import read_metrics
from cnnjax.report.reporters import LAYERS, METRICS
from cnnjax.train.machine.compile import make_evaluation
from cnnjax.train.machine.processes import is_first
from cnnjax.train.run import data_identity, model_file
from cnnjax.train.run.evaluate_run import Trained, evaluate_step, read_dataset
from cnnjax.train.run.loop import Result
from cnnjax.train.run.model_file import ModelFile
from cnnjax.train.run.trained import find_state
from cnnjax.train.run.workdir import Origin, stored_settings
from cnnjax.train.step.state import count_parameters, trained_variables

TASKS = (CLASSIFICATION, MULTILABEL, REGRESSION)
"""The tasks with an output for each example, which reports show."""
DOUBTFUL = 20
"""Training examples with likely wrong labels that are shown."""
_LIBRARIES = ("jax", "flax", "optax", "numpy")
_FAILURES = (ConfigError, DataError, CheckpointError, OSError)


def read_facts(origin: Origin, name: str, looks_inside: bool = True) -> RunFacts:
    """The facts about a run on disk, whose test split is evaluated.

    Args:
        origin: its working directory, and which of its states is scored.
        name: what to call it.
        looks_inside: whether filters, feature maps and likely wrong labels are wanted.

    Raises:
        ConfigError: no run there, or damaged files.
    """
    trained, problem = None, ""
    config, model = stored_settings(origin.folder), model_file.read(origin.folder)
    keep = model.task in TASKS
    try:
        trained = evaluate_step(
            origin.folder, "test", origin.step, keep_outputs=keep, augment=()
        )
    except _FAILURES as error:
        problem = str(error)
    facts = _make_facts(origin, name, config, model, trained, problem)
    return _look(facts, config, model, trained) if trained and looks_inside else facts


def facts_at_end(result: Result) -> RunFacts | None:
    """The facts about a run that has just finished; nothing but its files is read.

    All processes of the run must call this, as all evaluate the test split once more.

    Args:
        result: of the run.

    Returns:
        ``None`` in processes other than the first.
    """
    run, state = result.run, result.state
    experiment, dataset = run.experiment, run.experiment.dataset
    evaluate = make_evaluation(run.config, experiment, run.devices, keep_outputs=True)
    _, outputs, confusion = evaluate(state, dataset.test)
    if not is_first():
        return None
    trained = Trained(
        step=int(state.step),
        score=result.test,
        outputs=outputs,
        class_names=dataset.class_names,
        augmented=None,
        files=dataset.files.get("test"),
        confusion=confusion,
        data=dataset.test,
        parameters=count_parameters(state.params),
        notes=run.machine_notes(),
        experiment=experiment,
        state=state,
        splits=SPLITS,
    )
    folder = run.hold.workdir
    model, name = model_file.read(folder), folder.absolute().name
    facts = _make_facts(Origin(folder), name, run.config, model, trained, "")
    return _look(facts, run.config, model, trained)


def _make_facts(
    origin: Origin,
    name: str,
    config: Config,
    model: ModelFile,
    trained: Trained | None,
    problem: str,
) -> RunFacts:
    """Everything but what is inside the network."""
    folder = origin.folder
    records = _read_records(folder / METRICS)
    identity = _read_identity(folder)
    noted = next((r for r in reversed(records) if r.get("kind") == "test"), {})
    score = trained.score.as_record() if trained else _numbers(noted)
    predicted = None
    if trained:
        parameters, machine = trained.parameters, _machine(trained.notes)
        if trained.outputs is not None:
            predicted = Predicted(trained.outputs, trained.data, trained.files)
    else:
        parameters, machine = _read_state(origin)
    best = (model.best or {}).get("step")
    return RunFacts(
        name=name,
        workdir=str(folder),
        model=model.name,
        options=model.options,
        task=model.task,
        num_classes=model.num_classes,
        class_names=model.names if trained else (),
        image_shape=model.image_shape,
        source=config.data.source,
        examples=_sizes(identity),
        records=records,
        layers=_read_records(folder / LAYERS),
        settings=_settings(config),
        monitor=config.monitor.removeprefix("max:").removeprefix("min:"),
        best_step=best if type(best) is int else None,
        step=trained.step if trained else None,
        score=score,
        parameters=parameters,
        predicted=predicted,
        problem=problem,
        identity=identity.get("test", {}),
        machine=machine | _author(folder),
        versions=_versions(),
    )


def _look(
    facts: RunFacts, config: Config, model: ModelFile, trained: Trained
) -> RunFacts:
    """Adds what is inside the network, and likely wrong labels or label maps."""
    folder, dataset = Path(facts.workdir), trained.experiment.dataset
    variables = jax.tree.map(np.array, trained_variables(trained.state))
    network = TrainedModel(
        trained.experiment.model,
        jax.device_put(variables),
        model,
        trained.step,
        config,
        folder,
    )
    files = trained.files
    try:
        [name] = example_names(np.arange(1), files)
        inside = look_inside(network, np.asarray(trained.data.images[:1])[0], name)
        if model.task == SEGMENTATION and trained.confusion is not None:
            found = find_label_maps(network, trained.data, trained.confusion, files)
            return replace(facts, inside=inside, label_maps=found)
    except (DataError, OSError) as error:  # an image is gone by now
        return replace(facts, problem=str(error))
    if model.task not in TASKS:
        return replace(facts, inside=inside)
    try:
        if "train" not in trained.splits:
            dataset = read_dataset(folder, "train")
        found = _find_doubtful(network, dataset)
        return replace(facts, inside=inside, doubtful=found)
    except _FAILURES as error:
        return replace(facts, inside=inside, not_doubtful=str(error))


def _find_doubtful(network: TrainedModel, dataset: Dataset) -> Doubtful:
    """The training examples with the largest losses, and their pictures."""
    train, files = dataset.train, dataset.files.get("train")
    numbers, outputs, looked_at = find_largest_losses(network, train, DOUBTFUL)
    order = np.argsort(numbers)  # streamed images are read in order
    images = np.empty((len(numbers), *train.images.shape[1:]), train.images.dtype)
    images[order] = train.images[numbers[order]]
    predicted = Predicted(
        outputs, Split(images, outputs.labels), example_names(numbers, files)
    )
    return Doubtful(predicted, looked_at, int(is_known(train.labels).sum()))


def _read_records(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file; none if there is no file.

    Raises:
        ConfigError: it is damaged.
    """
    try:
        return read_metrics(path)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise ConfigError(f"{error}; without it, there is nothing to report") from error


def _read_state(origin: Origin) -> tuple[int | None, dict[str, str]]:
    """Parameters and machine, from a checkpoint alone; nothing if none is intact."""
    try:
        found = find_state(origin, False, None, check_settings=False)
        return count_parameters(found.arrays.get("params", {})), _machine(found.notes)
    except _FAILURES:
        return None, {}


def _machine(notes: Any) -> dict[str, str]:
    """What a checkpoint notes about the machine that trained it."""
    found = {"devices": notes.get("devices"), "CPU kernels": notes.get("kernels")}
    options = {k: v for k, v in notes.items() if k.lower().startswith(("jax_", "xla_"))}
    shown = {name: str(value) for name, value in (found | options).items()}
    return {k: v for k, v in shown.items() if v not in ("", "None")}


def _author(folder: Path) -> dict[str, str]:
    """The version of cnnjax that wrote the model's description last."""
    found = read_json(folder / model_file.NAME).get("cnnjax_version")
    return {"cnnjax": found} if isinstance(found, str) else {}


def _read_identity(folder: Path) -> dict[str, Any]:
    """What identifies the data of a run; nothing if that was not noted."""
    try:
        found = read_json(folder / data_identity.NAME)
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, dict)}


def _sizes(identity: dict[str, Any]) -> dict[str, int]:
    sizes = {
        name: identity.get(name, {}).get("examples") for name in data_identity.SPLITS
    }
    return {name: size for name, size in sizes.items() if type(size) is int}


def _settings(config: Config) -> list[SettingFact]:
    defaults = default_config()
    facts = []
    for name, value in flatten(config.to_dict()):
        default = find(defaults, name)
        facts.append(SettingFact(name, repr(value), repr(default), value != default))
    return facts


def _numbers(record: Any) -> dict[str, float]:
    skipped = ("step", "epoch", "seconds")
    return {
        name: value
        for name, value in record.items()
        if type(value) in (int, float) and name not in skipped
    }


def _versions() -> dict[str, str]:
    python = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    libraries = {name: version(name) for name in _LIBRARIES}
    return {"cnnjax": __version__, "python": python, **libraries}
