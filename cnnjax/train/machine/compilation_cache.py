"""The folder where XLA keeps compiled programs from one run to the next."""

import os
from pathlib import Path

import jax

from cnnjax.files import expand_path, user_cache_folder


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
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return path
