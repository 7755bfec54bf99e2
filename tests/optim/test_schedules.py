"""Schedules against their formulas, traced and not."""

import math

import jax
import numpy as np
import pytest

from cnnjax.optim.schedules import SCHEDULES, make_schedule

PEAK, TOTAL = 0.4, 50
BOUNDARIES = (20, 35)


def one_cycle(step, warmup):
    peak = warmup or 15
    done = step / peak if step < peak else (min(step, TOTAL) - peak) / (TOTAL - peak)
    start, end = (1 / 25, 1) if step < peak else (1, 1 / 25e4)
    return PEAK * (end + (start - end) * (1 + math.cos(math.pi * done)) / 2)


def expected(name, step, warmup, end_fraction):
    if name == "one_cycle":
        return one_cycle(step, warmup)
    if step < warmup:
        return PEAK * step / warmup
    done = min(1.0, (step - warmup) / (TOTAL - warmup))
    return (
        PEAK
        * {
            "constant": 1.0,
            "cosine": end_fraction
            + (1 - end_fraction) * (1 + math.cos(math.pi * done)) / 2,
            "step": 0.1 ** sum(step >= boundary for boundary in BOUNDARIES),
        }[name]
    )


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("warmup", "end_fraction"), [(0, 0.0), (7, 0.25)])
def test_follows_its_formula(name, warmup, end_fraction):
    schedule = make_schedule(
        name,
        learning_rate=PEAK,
        total_steps=TOTAL,
        warmup_steps=warmup,
        end_fraction=end_fraction,
        step_boundaries=BOUNDARIES,
    )
    steps = np.arange(TOTAL + 3)
    rates = [expected(name, step, warmup, end_fraction) for step in steps]
    traced = jax.jit(jax.vmap(lambda step: schedule(step) + 0.0 * step))(steps)
    np.testing.assert_allclose(traced, rates, rtol=1e-5, atol=1e-8)
    for step in (0, warmup, BOUNDARIES[0], TOTAL):
        assert float(schedule(step)) == pytest.approx(rates[step], rel=1e-5, abs=1e-8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "cosin"}, "unknown schedule 'cosin'; did you mean 'cosine'"),
        (
            {"learning_rate": 0.0},
            "learning_rate is 0.0, expected a positive",
        ),
        ({"learning_rate": math.nan}, "is nan"),
        ({"learning_rate": math.inf}, "is inf"),
        ({"total_steps": 0}, "total_steps is 0, expected 1 or more"),
        ({"warmup_steps": 50}, "less than total_steps, 50"),
        ({"warmup_steps": -1}, "warmup_steps is -1"),
        ({"end_fraction": 1.5}, "end_fraction is 1.5, expected 0 to 1"),
        ({"step_factor": 0.0}, "step_factor is 0.0, expected a positive"),
        ({"name": "step"}, "needs step_boundaries"),
        (
            {"name": "step", "step_boundaries": (9, 9)},
            r"\(9, 9\), expected increas",
        ),
        ({"name": "step", "step_boundaries": (9, 50)}, "before total_steps, 50"),
        (
            {"name": "step", "step_boundaries": (9,), "warmup_steps": 9},
            "after warmup_steps, 9",
        ),
    ],
)
def test_refuses(change, message):
    settings = {"name": "cosine", "learning_rate": PEAK, "total_steps": TOTAL} | change
    with pytest.raises(ValueError, match=message):
        make_schedule(**settings)
