"""Random keys in an optimizer's state: saved as words, used as keys."""

import jax
import numpy as np
import optax

from cnnjax.optim.optimizers import make_optimizer
from cnnjax.optim.plain_keys import holds_keys
from tests.optim.test_optimizers import gradients, schedule, start


def test_the_noise_is_that_of_typed_keys():
    ours = make_optimizer("noisy_sgd", schedule, options={"key": 3})
    theirs = optax.noisy_sgd(schedule, key=3)
    params, state, expected = start(), ours.init(start()), theirs.init(start())
    assert holds_keys(expected)
    assert not holds_keys(state)
    for step in range(3):
        a, state = jax.jit(ours.update)(gradients(step), state, params)
        b, expected = jax.jit(theirs.update)(gradients(step), expected, params)
        for key in params:
            np.testing.assert_allclose(a[key], b[key], rtol=1e-6)
