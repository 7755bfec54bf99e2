"""Checks, before any work, that JAX can start on this machine."""

import os

import jax

from cnnjax.errors import ConfigError

_VARIABLES = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME")


def check_platform() -> None:
    """Starts JAX on the devices that the environment asks for.

    Raises:
        ConfigError: there are no such devices, or compilation is turned off.
    """
    if jax.config.jax_disable_jit:  # type: ignore[attr-defined]
        raise ConfigError(
            "JAX_DISABLE_JIT is set, but every command compiles what it runs; unset it"
        )
    asked = [(name, os.environ[name]) for name in _VARIABLES if os.environ.get(name)]
    try:
        jax.local_devices()
    # For a platform that is known but has no device, JAX fails with an assertion.
    except (RuntimeError, AssertionError) as error:
        what = " and ".join(f"{name} is {value!r}" for name, value in asked)
        reason = f" ({str(error).splitlines()[0][:200]})" if str(error) else ""
        raise ConfigError(
            f"{what}, but JAX cannot start with that here{reason}; {_available()}"
            if asked
            else f"JAX finds no device to start on{reason}; reinstall jax and jaxlib"
        ) from error


def _available() -> str:
    """What to do instead: the platform that JAX chooses by default."""
    jax.config.update("jax_platforms", None)
    jax.config.update("jax_platform_name", None)
    try:
        name = jax.default_backend()
    except (RuntimeError, AssertionError):
        return "unset it"
    return f"unset it to use what is available: {name}"
