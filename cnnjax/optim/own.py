"""Optimizers and schedules of the user's own, named by import paths."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from cnnjax.config.import_path import failure, parameters, resolve_function
from cnnjax.errors import ConfigError

OPTIMIZER = (
    "a function make(learning_rate, **options) that returns an"
    " optax.GradientTransformation; learning_rate is a schedule"
)
SCHEDULE = (
    "a function make(learning_rate, total_steps, warmup_steps) that returns the"
    " learning rate as a function of the step, counted from 0"
)


def own_optimizer(path: str) -> Callable[..., Any]:
    """The function that an import path names.

    Raises:
        ConfigError: it takes no learning rate.
    """
    make = resolve_function("optimizer.name", path, OPTIMIZER)
    names, takes_any = parameters(make)
    if "learning_rate" not in names and not takes_any:
        raise ConfigError(
            f"optimizer.name is {path!r}, which takes ({', '.join(names)}), expected"
            f" {OPTIMIZER}"
        )
    return make


def make_own_schedule(
    path: str, learning_rate: float, total_steps: int, warmup_steps: int
) -> optax.Schedule:
    """The schedule that a user's function makes.

    Args:
        path: ``"module:function"``.
        learning_rate: the setting ``optimizer.learning_rate``.
        total_steps: the length of the run.
        warmup_steps: the length of the warmup, which the function takes care of.

    Raises:
        ConfigError: it takes other arguments, fails, or gives no number.
    """
    make = resolve_function("schedule.name", path, SCHEDULE)
    given = {
        "learning_rate": learning_rate,
        "total_steps": total_steps,
        "warmup_steps": warmup_steps,
    }
    names, takes_any = parameters(make)
    if not takes_any and {*names} != {*given}:
        raise ConfigError(
            f"schedule.name is {path!r}, which takes ({', '.join(names)}), expected"
            f" {SCHEDULE}"
        )
    try:
        schedule = make(**given)
        rate = jax.eval_shape(schedule, jax.ShapeDtypeStruct((), jnp.int32))
        shape = jnp.shape(rate)
    except Exception as error:  # the function may hold any code
        raise ConfigError(failure("schedule.name", path, error)) from error
    if shape:
        raise ConfigError(
            f"schedule.name is {path!r}, whose rate has shape {shape}, expected"
            f" {SCHEDULE}"
        )
    return schedule
