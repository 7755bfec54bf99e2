"""Loads JAX for a command, and turns what JAX refuses into one sentence."""

from cnnjax.errors import ConfigError


def load_jax() -> None:
    """Loads JAX, which reads its own settings from the environment.

    Raises:
        ConfigError: a setting that JAX refuses.
    """
    try:
        import jax  # noqa: F401
    except ValueError as error:
        raise ConfigError(f"JAX refuses the environment: {error}") from error


def start_jax() -> None:
    """Loads JAX and lets it find its devices.

    Raises:
        ConfigError: it cannot.
    """
    load_jax()
    from cnnjax.train.machine.platform import check_platform

    check_platform()
