"""Central differences of many parameters at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.compare.finite_difference import relative_errors

ENOUGH = 1e-5
LAYERS = 40


@pytest.fixture
def leaves(x64):
    random = np.random.default_rng(0)
    return [random.normal(size=(3, 4)) for _ in range(LAYERS)]


def make_loss(calls):
    """A loss with a kink for each value, which no leaf 5 changes."""

    def loss(leaves):
        jax.debug.callback(lambda: calls.append(None))
        total = jnp.zeros(())
        for i, leaf in enumerate(leaves):
            part = leaf - leaf if i == 5 else jnp.maximum(leaf, 0.3 * leaf)
            total += (i + 1) * jnp.sum(jnp.sin(part))
        return total

    return loss


def test_many_right_gradients_need_few_runs(leaves):
    calls = []
    loss = make_loss(calls)
    gradient = jax.grad(make_loss([]))
    errors = relative_errors(loss, gradient, leaves, 0, ENOUGH)
    assert max(errors) <= ENOUGH
    assert len(calls) < LAYERS


@pytest.mark.parametrize("wrong", [0, 5, 17, LAYERS - 1])
@pytest.mark.parametrize("by", [1.001, -1.0, 0.0])
def test_one_wrong_gradient_is_found(leaves, wrong, by):
    def gradient(leaves):
        found = jax.grad(make_loss([]))(leaves)
        change = 1e-3 if wrong == 5 else by * found[wrong]
        found[wrong] = np.asarray(found[wrong] * 0 + change)
        return found

    errors = relative_errors(make_loss([]), gradient, leaves, 0, ENOUGH)
    bad = [i for i, error in enumerate(errors) if error > ENOUGH]
    assert bad == [wrong]


def test_a_gradient_that_is_only_rounding_is_right(x64):
    random = np.random.default_rng(1)
    bias, x = random.normal(size=6), random.normal(size=(50, 6))

    def loss(leaves):
        centered = (x + leaves[0]) - (x + leaves[0]).mean(0)
        return 3.0 + jnp.sum(jnp.tanh(centered) ** 2)

    errors = relative_errors(loss, jax.grad(loss), [bias], 0, ENOUGH)
    assert errors[0] <= ENOUGH


@pytest.mark.parametrize(("factor", "is_right"), [(1.0, True), (1.1, False)])
def test_every_step_may_cross_a_kink(x64, factor, is_right):
    leaf, kinks = np.random.default_rng(2).normal(size=6), 3e8

    def loss(leaves):
        bent = jnp.abs(leaves[0] * kinks - jnp.round(leaves[0] * kinks)) / kinks
        return jnp.sum(leaves[0] + 0.01 * bent)

    def gradient(leaves):
        return [factor * np.asarray(jax.grad(loss)(leaves)[0])]

    (error,) = relative_errors(loss, gradient, [leaf], 0, ENOUGH)
    assert (error <= ENOUGH) == is_right


def test_a_loss_that_is_not_a_number_shows_no_gradient_right(leaves):
    def loss(leaves):
        return make_loss([])(leaves) * jnp.nan

    errors = relative_errors(loss, jax.grad(make_loss([])), leaves[:2], 0, ENOUGH)
    assert not any(error <= ENOUGH for error in errors)
