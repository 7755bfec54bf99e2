"""Normalization by its definition, and what compares ``cnnjax.ops.norm`` with it."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.support.ops.closeness import normal


def plain_moments(x, axes, mask=None):
    """The definition, for ``jax.grad`` to differentiate."""
    weight = jnp.ones(x.shape) if mask is None else jnp.broadcast_to(mask, x.shape)
    count = weight.sum(axes, keepdims=True)
    mean = (weight * x).sum(axes, keepdims=True) / count
    return mean, (weight * (x - mean) ** 2).sum(axes, keepdims=True) / count


def plain_normalize(x, mean, variance, scale=1, bias=0, epsilon=1e-5):
    return scale * (x - mean) / jnp.sqrt(variance + epsilon) + bias


def make_arrays(*shapes):
    rng = np.random.default_rng(0)
    return [normal(rng, *shape)[0] for shape in shapes]


def total(tree):
    """A number that depends on every value of the tree, each in its own way."""
    leaves = jax.tree.leaves(tree)
    weights = [jnp.cos(jnp.arange(a.size) + a.ndim).reshape(a.shape) for a in leaves]
    return sum(jnp.vdot(w, a * a + a) for w, a in zip(weights, leaves, strict=True))


def derivatives(function, args, order):
    """The values, the gradients, and the gradients of a sum over the gradients."""
    everything = tuple(range(len(args)))

    def first(*args):
        return jax.grad(lambda *a: total(function(*a)), everything)(*args)

    def second(*args):
        return jax.grad(lambda *a: total(first(*a)), everything)(*args)

    return [f(*args) for f in (function, first, second)[: order + 1]]


def assert_equal(ours, plain, args, order=1):
    both = jax.jit(lambda *a: [derivatives(f, a, order) for f in (ours, plain)])(*args)
    actual, expected = map(jax.tree.leaves, both)
    for a, b in zip(actual, expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b).max())
