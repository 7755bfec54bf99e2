"""Loads JAX for a command, and turns what JAX refuses into one sentence."""

from cnnjax.errors import ConfigError


def load_jax(*, deterministic: bool = False) -> None:
    """Loads JAX, which reads its own settings from the environment.

    Args:
        deterministic: the setting of that name.

    Raises:
        ConfigError: a setting that JAX refuses, or that contradicts ``deterministic``.
    """
    try:
        import jax  # noqa: F401
    except ValueError as error:
        raise ConfigError(f"JAX refuses the environment: {error}") from error
    if deterministic:
        from cnnjax.train.machine.determinism import request_determinism

        request_determinism()


def start_jax(*, deterministic: bool = False) -> None:
    """Loads JAX and lets it find its devices.

    Args:
        deterministic: the setting of that name.

    Raises:
        ConfigError: it cannot.
    """
    load_jax(deterministic=deterministic)
    from cnnjax.train.machine.platform import check_platform

    check_platform()


def start_jax_as(workdir: str) -> None:
    """Lets JAX find its devices, with the setting ``deterministic`` of a run.

    Args:
        workdir: the run's working directory, or one of its checkpoints.

    Raises:
        ConfigError: no run there, or JAX cannot start.
    """
    load_jax()
    from cnnjax.train.run.workdir import find_run, read_config

    config = read_config(find_run(workdir, "--workdir").folder)
    start_jax(deterministic=config.deterministic)
