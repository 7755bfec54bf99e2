"""What a checkpoint notes about its run, compared with the files of the run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnjax.config import Config
from cnnjax.config.files import from_json
from cnnjax.data import Normalization
from cnnjax.errors import ConfigError, UnknownSettingError
from cnnjax.train.run import data_identity
from cnnjax.train.run.experiment import Experiment
from cnnjax.train.run.workdir import CHECKPOINTS, NORMALIZATION, of_newer_version


def describe_run(
    config: Config, experiment: Experiment, identity: data_identity.Identity
) -> dict[str, Any]:
    """The settings, normalization and data of a run, as values for JSON."""
    return {
        "config": config.to_dict(),
        "normalization": _as_lists(experiment.normalization),
        "data": identity,
    }


def check_noted(
    notes: Mapping[str, Any],
    place: Path,
    normalization: Normalization,
    identity: data_identity.Identity,
) -> None:
    """Refuses a normalization or data that the checkpoint was not trained with.

    Older checkpoints note less; what they lack is not compared.

    Args:
        notes: of the checkpoint.
        place: its folder.
        normalization: of the run's file, or measured anew where that is missing.
        identity: of the data as it is now.

    Raises:
        ConfigError: the first difference, or damaged notes.
    """
    run = place.parent.parent
    try:
        if "normalization" in notes:
            _check_normalization(notes["normalization"], place, normalization)
        if "data" in notes:
            data_identity.check(notes["data"], identity, run)
    except ConfigError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"the notes of {place} are damaged ({error})") from error


def _check_normalization(noted: Any, place: Path, normalization: Normalization) -> None:
    for name, found in _as_lists(normalization).items():
        for channel, (now, then) in enumerate(zip(found, noted[name], strict=True)):
            if now != then:
                raise ConfigError(
                    f"{place.parent.parent / NORMALIZATION} gives {name} {now} for"
                    f" channel {channel}, but {place} was trained with {then}; bring"
                    " the file back as it was"
                )


def _as_lists(normalization: Normalization) -> dict[str, list[float]]:
    return {name: x.tolist() for name, x in normalization._asdict().items()}


def noted_config(notes: Mapping[str, Any], place: Path) -> Config | None:
    """The settings that a checkpoint was saved with; ``None`` if it does not say.

    Raises:
        ConfigError: settings of a newer version, or invalid ones.
    """
    if not isinstance(notes.get("config"), Mapping):
        return None
    try:
        return from_json(json.dumps(notes["config"]))
    except UnknownSettingError as error:
        raise ConfigError(of_newer_version(place, error)) from error
    except ConfigError as error:
        raise ConfigError(f"the notes of {place} are damaged ({error})") from error


def place_of(run: Path, step: int) -> Path:
    """The folder of the checkpoint of ``step``."""
    return run / CHECKPOINTS / str(step)
