"""Reports of runs: their facts, read from their folders, as one HTML file."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from cnnjax import __version__
from cnnjax.config import Config, default_config, find, flatten
from cnnjax.data.tasks import CLASSIFICATION, MULTILABEL, REGRESSION
from cnnjax.errors import CheckpointError, ConfigError, DataError, show
from cnnjax.files import check_folder_of, expand_path, write_whole
from cnnjax.json_file import read_json
from cnnjax.report.html import Predicted, RunFacts, SettingFact, make_page
from cnnjax.report.metrics_file import read_metrics
from cnnjax.report.reporters import METRICS
from cnnjax.train.run import data_identity, model_file
from cnnjax.train.run.evaluate_run import Trained, evaluate_step
from cnnjax.train.run.trained import find_state
from cnnjax.train.run.workdir import Origin, find_run, stored_settings
from cnnjax.train.step.state import count_parameters

NAME = "report.html"
MOST_RUNS = 20
TASKS = (CLASSIFICATION, MULTILABEL, REGRESSION)
"""The tasks whose predictions a report shows."""
_LIBRARIES = ("jax", "flax", "optax", "numpy")
_FAILURES = (ConfigError, DataError, CheckpointError, OSError)


class _Scored(NamedTuple):
    """What evaluation found, or why it could not."""

    trained: Trained | None = None
    problem: str = ""


def write_report(
    workdirs: str | os.PathLike | Sequence[str | os.PathLike],
    out: str | os.PathLike | None = None,
) -> Path:
    """Writes a report of one run, or of several side by side, as one HTML file.

    The test split is evaluated once for each run. Where that is impossible, because the
    data is gone for example, the report has no predictions and no pictures, and says
    why.

    Args:
        workdirs: the working directory of a run, or one of its checkpoints; or several.
        out: the file to write; by default ``report.html``, in the working directory of
            the run, or for several runs in the current folder.

    Returns:
        The file.

    Raises:
        ConfigError: no run in one of the folders, damaged files, or a folder of ``out``
            that does not exist.
        OSError: the file cannot be written.

    Example::

        >>> import cnnjax
        >>> run = cnnjax.train(
        ...     {"duration": "1 epoch", "model.widths": (8, 8)},
        ...     data="digits",
        ...     progress="none",
        ... )
        >>> cnnjax.write_report(run.workdir).name
        'report.html'
    """
    names = [workdirs] if isinstance(workdirs, str | os.PathLike) else [*workdirs]
    if not 1 <= len(names) <= MOST_RUNS:
        raise ConfigError(
            f"there are {len(names)} runs to report, expected 1 to {MOST_RUNS}"
        )
    origins = [find_run(os.fspath(name), "RUN") for name in names]
    if out is None:
        out = origins[0].folder / NAME if len(origins) == 1 else Path(NAME)
    out = expand_path(os.fspath(out), "--out")
    check_folder_of(out)
    titles = _titles(origins)
    runs = [read_facts(o, title) for o, title in zip(origins, titles, strict=True)]
    write_whole(out, make_page(runs))
    return out


def read_facts(origin: Origin, name: str) -> RunFacts:
    """The facts about a run.

    Args:
        origin: its working directory, and which of its states is scored.
        name: what to call it.

    Raises:
        ConfigError: no run there, or damaged files.
    """
    folder = origin.folder
    config, model = stored_settings(folder), model_file.read(folder)
    try:
        records = read_metrics(folder / METRICS)
    except FileNotFoundError:
        records = []
    except (OSError, ValueError) as error:
        raise ConfigError(f"{error}; without it, there is nothing to report") from error
    identity = _read_identity(folder)
    trained, problem = _evaluate(origin, model.task)
    noted = next((r for r in reversed(records) if r.get("kind") == "test"), {})
    score = trained.score.as_record() if trained else _numbers(noted)
    predicted, parameters, machine = None, None, {}
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
        class_names=model.names if predicted else (),
        image_shape=model.image_shape,
        source=config.data.source,
        examples=_sizes(identity),
        records=records,
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


def _evaluate(origin: Origin, task: str) -> _Scored:
    folder, step = origin
    keep = task in TASKS
    try:
        return _Scored(
            evaluate_step(folder, "test", step, keep_outputs=keep, augment=())
        )
    except _FAILURES as error:
        return _Scored(problem=str(error))


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


def _titles(origins: Sequence[Origin]) -> list[str]:
    """A name for each run: that of its folder, or its path if names repeat."""
    ends = ["" if step is None else f" step {step}" for _, step in origins]
    paths = [f"{o.folder}{end}" for o, end in zip(origins, ends, strict=True)]
    names = [
        f"{o.folder.absolute().name}{end}" for o, end in zip(origins, ends, strict=True)
    ]
    titles = names if len({*names}) == len(names) else paths
    if len({*titles}) < len(titles):
        raise ConfigError(f"a run is named twice: {show(paths)}; name each once")
    return titles
