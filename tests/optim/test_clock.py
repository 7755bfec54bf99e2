"""Schedules go by the step they are told, with every optimizer."""

import jax
import numpy as np
import pytest

from cnnjax.optim import at_step
from cnnjax.optim.optimizers import make_optimizer, optimizer_names
from tests.optim.test_optimizers import OPTIONS, REFUSED, gradients, schedule, start


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", sorted(set(optimizer_names()) - REFUSED.keys()))
@pytest.mark.parametrize("decay", [0.0, 0.03])
def test_every_alias_asks_the_schedule_with_the_step_it_is_told(name, decay):
    def update(schedule, step):
        optimizer = make_optimizer(
            name, schedule, weight_decay=decay, options=OPTIONS.get(name)
        )
        state = at_step(optimizer.init(start()), np.int32(step))
        return optimizer.update(gradients(0), state, start())

    at_seven, state = update(schedule, 7)
    expected, _ = update(lambda step: schedule(7), 0)
    for key in expected:
        np.testing.assert_allclose(at_seven[key], expected[key], rtol=1e-12)
    assert state["decay"].count == 8
