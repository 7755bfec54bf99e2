"""Learning rates as functions of the step: a linear warmup, then a named decay."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import optax

from cnnjax.config.import_path import is_import_path
from cnnjax.errors import unknown_name
from cnnjax.optim.own import make_own_schedule


class Plan(NamedTuple):
    """The numbers of a schedule.

    Attributes:
        learning_rate: the highest rate.
        total: the length of the run in steps.
        warmup: the length of the warmup in steps.
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

    The rate rises linearly from 0 to ``learning_rate`` at ``warmup_steps``. The rest
    depends on ``name``: ``"constant"`` stays there;
    ``"cosine"`` falls along half a cosine (Loshchilov and Hutter, 2017, without
    restarts) to ``end_fraction * learning_rate`` at ``total_steps``; ``"step"``
    multiplies by ``step_factor`` at each of ``step_boundaries``.

    ``"one_cycle"`` (Smith and Topin, 2018) rises along half a cosine instead, from
    1/25 of ``learning_rate``, for 30 % of the run (or for ``warmup_steps``, if given),
    and falls along another to 1/250,000: the defaults of PyTorch and Optax. The
    momentum does not change. All schedules can be traced by ``jax.jit``.

    Args:
        name: a key of ``SCHEDULES``, or an import path of your own.
        learning_rate: the highest rate.
        total_steps: the length of the run.
        warmup_steps: the length of the warmup; shorter than the run.
        end_fraction: cosine: the last rate divided by the highest, 0 to 1.
        step_boundaries: increasing steps of the run, after the warmup.
        step_factor: a positive factor.

    Raises:
        ValueError: for an unknown name, or a number outside its range.
    """
    is_own = is_import_path(name)
    if not is_own and name not in SCHEDULES:
        raise unknown_name("schedule", name, SCHEDULES)
    _check_range(learning_rate, total_steps, warmup_steps, end_fraction, step_factor)
    if is_own:
        return make_own_schedule(name, learning_rate, total_steps, warmup_steps)
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
    """A schedule that rises linearly and then follows ``decay``."""

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
    # Optax rounds fraction times length down; half a step more prevents that.
    share = min((rise + 0.5) / plan.total, 1.0)
    return optax.cosine_onecycle_schedule(plan.total, plan.learning_rate, share)


SCHEDULES: dict[str, Callable[[Plan], optax.Schedule]] = {
    "constant": _after_warmup(_constant),
    "cosine": _after_warmup(_cosine),
    "one_cycle": _one_cycle,
    "step": _after_warmup(_step),
}
"""Factories of schedules by name."""


def _check_range(
    learning_rate: float,
    total_steps: int,
    warmup_steps: int,
    end_fraction: float,
    step_factor: float,
) -> None:
    if not (learning_rate > 0 and math.isfinite(learning_rate)):
        raise ValueError(
            f"learning_rate is {learning_rate}, expected a positive finite number"
        )
    if total_steps < 1:
        raise ValueError(f"total_steps is {total_steps}, expected 1 or more")
    if not 0 <= warmup_steps < total_steps:
        raise ValueError(
            f"warmup_steps is {warmup_steps}, expected 0 or more and less than "
            f"total_steps, {total_steps}; shorten the warmup or train longer"
        )
    if not 0 <= end_fraction <= 1:
        raise ValueError(f"end_fraction is {end_fraction}, expected 0 to 1")
    if not (step_factor > 0 and math.isfinite(step_factor)):
        raise ValueError(
            f"step_factor is {step_factor}, expected a positive finite number"
        )


def _check_boundaries(
    name: str, boundaries: Sequence[int], warmup_steps: int, total_steps: int
) -> None:
    if name != "step":
        return
    if not boundaries:
        raise ValueError(
            "schedule 'step' needs step_boundaries, the steps at which the rate "
            "drops; for a constant rate, choose 'constant'"
        )
    inside = all(warmup_steps < step < total_steps for step in boundaries)
    if not inside or any(a >= b for a, b in pairwise(boundaries)):
        raise ValueError(
            f"step_boundaries is {tuple(boundaries)}, expected increasing steps after "
            f"warmup_steps, {warmup_steps}, and before total_steps, {total_steps}"
        )
