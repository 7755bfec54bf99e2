"""The files of a run in its working directory, and runs named on the command line."""

from pathlib import Path
from typing import NamedTuple

from cnnjax.config import Config, ConfigError
from cnnjax.config_file import from_json, to_json
from cnnjax.data import Normalization, read_normalization, write_normalization
from cnnjax.train import data_identity
from cnnjax.whole_file import write_whole

CONFIG = "config.json"
NORMALIZATION = "normalization.json"
CHECKPOINTS = "checkpoints"


class Origin(NamedTuple):
    """A run on disk, and the step of its state that is meant; ``None``: the newest."""

    folder: Path
    step: int | None = None

    @property
    def checkpoints(self) -> Path:
        """The folder of its states."""
        return self.folder / CHECKPOINTS


def find_run(name: str | Path, setting: str) -> Origin:
    """The run that a user names: its working directory, or one of its checkpoints.

    Args:
        name: ``runs/a`` or ``runs/a/checkpoints/120``.
        setting: what the name was given for, for the message.

    Raises:
        ConfigError: no run there.
    """
    folder, step = Path(name), None
    if folder.parent.name == CHECKPOINTS and folder.name.isdecimal():
        folder, step = folder.parents[1], int(folder.name)
    if not (folder / CONFIG).is_file():
        raise ConfigError(
            f"{setting} is {str(name)!r}, but there is no {folder / CONFIG}; give the"
            " working directory of a run, or one of its checkpoints, as"
            " runs/digits/checkpoints/787"
        )
    origin = Origin(folder, step)
    if not (origin.checkpoints / (str(step) if step is not None else "")).is_dir():
        raise ConfigError(f"{setting} is {str(name)!r}, which holds no checkpoint")
    return origin


def read_config(folder: Path) -> Config:
    """The settings of the run in ``folder``.

    Raises:
        ConfigError: no run there, or a damaged file.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise ConfigError(f"no run in {folder}: there is no {path}")
    try:
        return from_json(path.read_text())
    except (ConfigError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} is damaged: {error}; bring it back, or give another --workdir"
        ) from error


def find_origin(workdir: Path, resume: str) -> Origin | None:
    """The run to go on with; ``None`` where a new one begins.

    Args:
        workdir: the run's own folder.
        resume: ``"auto"``, ``"never"``, or another run that this one branches off.

    Raises:
        ConfigError: a folder that cannot be used, or no run where one is named.
    """
    if workdir.exists() and not workdir.is_dir():
        raise ConfigError(f"workdir {workdir} is a file, expected a folder")
    if (workdir / CONFIG).exists():
        if resume != "never":
            return Origin(workdir)
        raise ConfigError(
            f"{workdir} holds a run already, and --resume=never does not touch it; give"
            " another --workdir"
        )
    if any((workdir / CHECKPOINTS).glob("*")):  # else it was killed before its config
        raise ConfigError(
            f"{workdir} holds checkpoints but no {CONFIG}, so nobody knows of what run;"
            " give another --workdir, or remove it"
        )
    return None if resume in ("auto", "never") else find_run(resume, "--resume")


def known_normalization(origin: Origin | None) -> Normalization | None:
    """The run's normalization, if it has measured one."""
    path = origin and origin.folder / NORMALIZATION
    return read_normalization(path) if path and path.exists() else None


def write(
    workdir: Path,
    config: Config,
    normalization: Normalization,
    identity: data_identity.Identity,
) -> None:
    """Writes what describes the run; the config last, for it is what makes a run."""
    write_normalization(normalization, workdir / NORMALIZATION)
    data_identity.write(workdir, identity)
    write_whole(workdir / CONFIG, to_json(config))
