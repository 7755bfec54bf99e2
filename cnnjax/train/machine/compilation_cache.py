"""The folder where XLA keeps compiled programs from one run to the next."""

import os
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import jax

from cnnjax.files import expand_path, user_cache_folder

CHECKED = ".checked"
"""A file as old as the last search for half-written programs."""


def default_folder() -> Path:
    """``$JAX_COMPILATION_CACHE_DIR``, or ``cnnjax/xla`` in the user's cache folder."""
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if chosen:
        return Path(chosen)
    return user_cache_folder() / "xla"


def enable(folder: str | Path | None = None) -> Path | None:
    """Keeps every compiled program in ``folder``; by default in ``default_folder()``.

    Raises:
        ConfigError: an empty name, or the home folder of an unknown user.

    Returns:
        The folder, or ``None`` if it cannot be written: each run then compiles again.
    """
    path = default_folder()
    if folder is not None:
        path = expand_path(folder, "compilation_cache")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(path, os.W_OK):
        return None
    with suppress(OSError):  # another process may remove a file, or the folder
        _remove_half_written(path)
    # One that another process is writing right now is compiled again.
    warnings.filterwarnings("ignore", "Error reading persistent compilation cache")
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return path


def _remove_half_written(folder: Path) -> None:
    """Removes programs that a killed process left half-written.

    JAX writes them in place and never replaces one, so it would fail to read such a
    program, and compile it again, at each later start. Only programs written since the
    last search are looked at.
    """
    mark = folder / CHECKED
    last = mark.stat().st_mtime if mark.exists() else 0
    mark.touch()
    for program in folder.glob("*-cache"):
        if program.stat().st_mtime > last - 60 and _is_half_written(program):
            program.unlink()


def _is_half_written(program: Path) -> bool:
    content = program.read_bytes()
    if not content.startswith(b"x"):  # of another compression than zlib's
        return not content
    decompressor = zlib.decompressobj()
    try:
        decompressor.decompress(content)
    except zlib.error:
        return True
    return not decompressor.eof
