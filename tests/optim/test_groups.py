"""Parameters that are trained from a later step, or never."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnnjax.optim import Groups, at_step, make_optimizer

START, END = 3, 6
PARAMS = {
    name: jnp.asarray(np.random.default_rng(n).normal(size=(2, 3)), jnp.float32)
    for n, name in enumerate(("early", "late", "never"))
}
GROUPS = Groups(
    lambda params: {name: name for name in params},
    {"early": 0, "late": START, "never": None},
)


def schedule(step):
    return 0.1 / (1 + step)


def grads_of(params, step):
    return jax.tree.map(lambda x: jnp.sin(x + step), params)


def take(optimizer, params, first, end):
    state = optimizer.init(params)
    for step in range(first, end):
        state = at_step(state, jnp.int32(step))
        updates, state = optimizer.update(grads_of(params, step), state, params)
        params = optax.apply_updates(params, updates)
    return params, state


@pytest.mark.parametrize(
    ("name", "options"), [("adamw", {}), ("sgd", {"momentum": 0.9}), ("rmsprop", {})]
)
def test_a_late_group_gets_a_new_optimizer_at_its_first_step(name, options):
    settings = {"weight_decay": 0.1, "options": options}
    grouped = make_optimizer(name, schedule, groups=GROUPS, **settings)
    alone = make_optimizer(name, schedule, **settings)
    before, _ = take(grouped, PARAMS, 0, START)
    np.testing.assert_array_equal(before["late"], PARAMS["late"])
    after, _ = take(grouped, PARAMS, 0, END)
    for group, first in (("early", 0), ("late", START)):
        expected, _ = take(alone, {group: PARAMS[group]}, first, END)
        np.testing.assert_array_equal(after[group], expected[group])
    np.testing.assert_array_equal(after["never"], PARAMS["never"])


def test_what_is_never_trained_has_no_state():
    grouped = make_optimizer("adam", schedule, groups=GROUPS)
    shapes = [leaf.shape for leaf in jax.tree.leaves(grouped.init(PARAMS))]
    assert shapes.count((2, 3)) == 2 * 2  # two moments each of "early" and "late"


def test_gradients_are_clipped_over_all_groups():
    grouped = make_optimizer("sgd", lambda step: 1.0, clip_norm=1.0, groups=GROUPS)
    grads = {"early": jnp.full((2, 3), 3.0), "late": jnp.zeros((2, 3))}
    grads["never"] = jnp.full((2, 3), 4.0)
    updates, _ = grouped.update(grads, grouped.init(PARAMS), PARAMS)
    expected = -3 / np.sqrt(6 * (3**2 + 4**2))
    np.testing.assert_allclose(updates["early"], expected, rtol=1e-6)
