"""The files of a run in its working directory, and runs named on the command line."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cnnjax import __version__
from cnnjax.config import Config, default_config
from cnnjax.config.versions import from_file, to_file
from cnnjax.data import Normalization, read_normalization, write_normalization
from cnnjax.errors import ConfigError, UnknownSettingError
from cnnjax.files import expand_path, open_regular, write_whole
from cnnjax.json_file import MAX_BYTES
from cnnjax.train.run import data_identity
from cnnjax.train.run.lock import saved_step

CONFIG = "config.json"
NORMALIZATION = "normalization.json"
CHECKPOINTS = "checkpoints"
DAMAGED = "damaged"

# These settings are never read from a config on disk, because they choose programs that
# are executed or further files that are opened. Only the command's config may do that.
NOT_FROM_DISK = ("compilation_cache", "data.cache_folder", "init_from")


class Origin(NamedTuple):
    """A run on disk, and the step of one of its states; ``None`` is the newest."""

    folder: Path
    step: int | None = None

    @property
    def checkpoints(self) -> Path:
        """The folder of its states."""
        return self.folder / CHECKPOINTS


def checkpoint_folder(run: Path, step: int) -> Path:
    """The folder of the checkpoint of ``step``."""
    return run / CHECKPOINTS / str(step)


def origin_of(path: Path) -> Origin:
    """The run and the step of a path: a working directory, or one of its checkpoints.

    Nothing is checked on disk.
    """
    if path.parent.name == CHECKPOINTS and path.name.isdecimal():
        return Origin(path.parents[1], int(path.name))
    return Origin(path)


def find_run(name: str | Path, setting: str) -> Origin:
    """The run that a user names: its working directory, or one of its checkpoints.

    Args:
        name: ``runs/a`` or ``runs/a/checkpoints/120``.
        setting: the setting or flag that gave the name, for the message.

    Raises:
        ConfigError: no run there.
    """
    origin = origin_of(expand_path(name, setting))
    folder, step = origin
    if not os.path.lexists(folder / CONFIG):
        raise ConfigError(
            f"{setting} is {str(name)!r}, but there is no {folder / CONFIG}; give the"
            " working directory of a run, or one of its checkpoints, such as"
            " runs/digits/checkpoints/787"
        )
    if not (origin.checkpoints / (str(step) if step is not None else "")).is_dir():
        raise ConfigError(f"{setting} is {str(name)!r}, which holds no checkpoint")
    return origin


def stored_settings(folder: Path) -> Config:
    """All settings of the run in ``folder``, to be compared and not followed.

    Raises:
        ConfigError: no run there, a damaged file, or one that a newer version wrote.
    """
    path = folder / CONFIG
    if not os.path.lexists(path):
        raise ConfigError(f"no run in {folder}: there is no {path}")
    try:
        with open_regular(path, follow_links=False) as file:
            return from_file(file.read(MAX_BYTES + 1).decode())
    except UnknownSettingError as error:
        raise ConfigError(f"{path} {error}, or give another --workdir") from error
    except (ConfigError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} is damaged: {error}; restore it, or give another --workdir"
        ) from error


def of_newer_version(what: object, error: UnknownSettingError) -> str:
    """The message for settings that this version does not know."""
    return (
        f"{what} was written by a newer version of cnnjax than {__version__}, which is"
        f" installed here ({error}); install that version, or give another --workdir"
    )


def read_config(folder: Path) -> Config:
    """The settings of the run in ``folder``, apart from those of ``NOT_FROM_DISK``.

    Raises:
        ConfigError: see ``stored_settings``.
    """
    config, defaults = stored_settings(folder), default_config()
    config.update_from_flattened_dict({name: defaults[name] for name in NOT_FROM_DISK})
    return config


def find_origin(
    workdir: Path, resume: str, tell: Callable[[str], None]
) -> Origin | None:
    """The run to resume; ``None`` if a new one starts.

    Args:
        workdir: the run's own folder, which this process holds.
        resume: ``"auto"``, ``"never"``, or another run that this one branches off.
        tell: takes a sentence for people.

    Raises:
        ConfigError: a folder that cannot be used, or no run where one is named.
    """
    other = None if resume in ("auto", "never") else find_run(resume, "--resume")
    for folder in (workdir / CHECKPOINTS, workdir / DAMAGED):
        if folder.is_symlink():
            raise ConfigError(
                f"{folder} is a symbolic link, expected a folder; to keep a run on"
                " another disk, link its whole working directory"
            )
    if os.path.lexists(workdir / CONFIG):
        if resume == "never":
            raise ConfigError(
                f"{workdir} holds a run already, and --resume=never does not touch it;"
                " give another --workdir"
            )
        _check_checkpoints(workdir)
        if other:
            tell(
                f"{workdir} holds a run already, which is resumed; --resume={resume}"
                " applies only to a new run"
            )
        return Origin(workdir)
    if any(
        (workdir / CHECKPOINTS).glob("*")
    ):  # otherwise it was killed before its config
        raise ConfigError(
            f"{workdir} holds checkpoints but no {CONFIG}, so their run is unknown;"
            " give another --workdir, or remove it"
        )
    return other


def _check_checkpoints(workdir: Path) -> None:
    """Refuses a run whose checkpoints are gone, unless it had not saved any yet.

    Raises:
        ConfigError: with what to do.
    """
    folder = workdir / CHECKPOINTS
    step = saved_step(workdir)
    if not folder.is_dir():
        lost = "has no such folder" if not folder.exists() else "has a file there"
    elif step is not None and not any(
        path.name.isdecimal() for path in folder.iterdir()
    ):
        lost = f"saved step {step}, but no longer has any checkpoint"
    else:
        return
    raise ConfigError(
        f"the checkpoints of the run are gone: {workdir} {lost}, expected them in"
        f" {folder}; restore them, give another --workdir to start a new run, or"
        f" remove {workdir}"
    )


def known_normalization(origin: Origin | None) -> Normalization | None:
    """The normalization of the run, if it has measured one."""
    path = origin and origin.folder / NORMALIZATION
    return read_normalization(path) if path and os.path.lexists(path) else None


def write(
    workdir: Path,
    config: Config,
    normalization: Normalization,
    identity: data_identity.Identity,
) -> None:
    """Writes the files that describe a run; the config last: with it, it is a run."""
    write_normalization(normalization, workdir / NORMALIZATION)
    data_identity.write(workdir, identity)
    write_whole(workdir / CONFIG, to_file(config))
