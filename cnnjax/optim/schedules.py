"""Learning rates as functions of the step: a linear warm-up, then a named decay."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import optax

from cnnjax.errors import unknown_name


class Plan(NamedTuple):
    """The numbers of a schedule.

    Attributes:
        learning_rate: the highest rate.
        total: the length of the run in steps.
        warmup: the length of the warm-up in steps.
        end_fraction: the last rate, as a fraction of the highest.
        boundaries: the steps of the run at which the rate drops.
        factor: what the rate is multiplied by at each boundary.
    """

    learning_rate: float
    total: int
    warmup: int
    end_fraction: float
    boundaries: Sequence[int]
    factor: float


def make_schedule(
    name: str,
    *,
    learning_rate: float,
    total_steps: int,
    warmup_steps: int = 0,
    end_fraction: float = 0.0,
    step_boundaries: Sequence[int] = (),
    step_factor: float = 0.1,
) -> optax.Schedule:
    """A function from the step, counted from 0, to its learning rate.

    The rate rises in a straight line from 0 and reaches ``learning_rate`` at
    ``warmup_steps``. What comes then is up to ``name``: ``"constant"`` stays;
    ``"cosine"`` falls along half a cosine (Loshchilov and Hutter, 2017, without
    restarts) to ``end_fraction * learning_rate`` at ``total_steps``; ``"step"``
    multiplies by ``step_factor`` at each of ``step_boundaries``.

    ``"one_cycle"`` (Smith and Topin, 2018) rises along half a cosine instead, from
    1/25 of ``learning_rate``, for 30 % of the run or for ``warmup_steps`` where they
    are given, and falls along another to 1/250,000, the numbers that PyTorch and
    Optax start from; the momentum is left alone. All can be traced by ``jax.jit``.

    Args:
        name: a key of ``SCHEDULES``.
        learning_rate: the highest rate.
        total_steps: the length of the run.
        warmup_steps: the length of the warm-up, a part of the run.
        end_fraction: the last rate of cosine over the highest, 0 to 1.
        step_boundaries: increasing steps of the run, after the warm-up.
        step_factor: a positive factor.

    Raises:
        ValueError: for an unknown name, or a number outside its range.
    """
    if name not in SCHEDULES:
        raise unknown_name("schedule", name, SCHEDULES)
    _check_range(learning_rate, total_steps, warmup_steps, end_fraction, step_factor)
    _check_boundaries(name, step_boundaries, warmup_steps, total_steps)
    plan = Plan(
        learning_rate,
        total_steps,
        warmup_steps,
        end_fraction,
        step_boundaries,
        step_factor,
    )
    return SCHEDULES[name](plan)


def _after_warmup(decay: Callable[[Plan], optax.Schedule]):
    """The schedule that rises in a straight line and then follows ``decay``."""

    def make(plan: Plan) -> optax.Schedule:
        if not plan.warmup:
            return decay(plan)
        rise = optax.linear_schedule(0.0, plan.learning_rate, plan.warmup)
        return optax.join_schedules([rise, decay(plan)], [plan.warmup])

    return make


def _constant(plan: Plan) -> optax.Schedule:
    return optax.constant_schedule(plan.learning_rate)


def _cosine(plan: Plan) -> optax.Schedule:
    steps = plan.total - plan.warmup
    return optax.cosine_decay_schedule(plan.learning_rate, steps, plan.end_fraction)


def _step(plan: Plan) -> optax.Schedule:
    drops = {step - plan.warmup: plan.factor for step in plan.boundaries}
    return optax.piecewise_constant_schedule(plan.learning_rate, drops)


def _one_cycle(plan: Plan) -> optax.Schedule:
    rise = plan.warmup or int(0.3 * plan.total)
    # Optax rounds the product of share and length down: half a step more keeps it.
    share = min((rise + 0.5) / plan.total, 1.0)
    return optax.cosine_onecycle_schedule(plan.total, plan.learning_rate, share)


SCHEDULES: dict[str, Callable[[Plan], optax.Schedule]] = {
    "constant": _after_warmup(_constant),
    "cosine": _after_warmup(_cosine),
    "one_cycle": _one_cycle,
    "step": _after_warmup(_step),
}
"""Makers of schedules by name."""


def _check_range(
    learning_rate: float,
    total_steps: int,
    warmup_steps: int,
    end_fraction: float,
    step_factor: float,
) -> None:
    if not (learning_rate > 0 and math.isfinite(learning_rate)):
        raise ValueError(
            f"learning_rate must be positive and finite, got {learning_rate}"
        )
    if total_steps < 1:
        raise ValueError(f"total_steps must be at least 1, got {total_steps}")
    if not 0 <= warmup_steps < total_steps:
        raise ValueError(
            f"warmup_steps must be in [0, total_steps = {total_steps}), "
            f"got {warmup_steps}; shorten the warm-up or train for longer"
        )
    if not 0 <= end_fraction <= 1:
        raise ValueError(f"end_fraction must be in [0, 1], got {end_fraction}")
    if not (step_factor > 0 and math.isfinite(step_factor)):
        raise ValueError(f"step_factor must be positive and finite, got {step_factor}")


def _check_boundaries(
    name: str, boundaries: Sequence[int], warmup_steps: int, total_steps: int
) -> None:
    if name != "step":
        return
    if not boundaries:
        raise ValueError(
            "schedule 'step' needs step_boundaries, the steps at which the rate "
            "drops; without any, choose 'constant'"
        )
    inside = all(warmup_steps < step < total_steps for step in boundaries)
    if not inside or any(a >= b for a, b in pairwise(boundaries)):
        raise ValueError(
            f"step_boundaries must increase, after warmup_steps = {warmup_steps} and "
            f"before total_steps = {total_steps}, got {tuple(boundaries)}"
        )
