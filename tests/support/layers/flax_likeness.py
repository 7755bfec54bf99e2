"""What it takes to be a drop-in replacement for a layer of flax.linen."""

import jax
import jax.numpy as jnp
import numpy as np

KEY = jax.random.key(0)


def assert_same_tree(ours, theirs, dtype=None):
    """Same structure, shapes and dtypes; same values, to rounding where one is given.

    ``dtype`` is that of the computation: the same sums in another order differ by a
    few of its roundings, next to the largest value.
    """
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    tolerance = 0 if dtype is None else 8 * float(jnp.finfo(dtype).eps)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        a, b = np.asarray(a, float), np.asarray(b, float)
        scale = max(np.abs(b).max(initial=0), 1)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale)


def assert_same_layer(ours, theirs, shape):
    """The same tree of parameters; for some values, output and all gradients."""
    x = normal(shape, jnp.float32)
    trees = [jax.eval_shape(layer.init, KEY, x) for layer in (ours, theirs)]
    assert jax.tree.structure(trees[0]) == jax.tree.structure(trees[1])
    assert jax.tree.leaves(trees[0]) == jax.tree.leaves(trees[1])
    variables = jax.tree.map(lambda leaf: normal(leaf.shape, leaf.dtype), trees[0])

    def run(layer, variables, x):
        def total(variables, x):
            y = layer.apply(variables, x)
            weights = jnp.cos(jnp.arange(y.size)).reshape(y.shape)
            return jnp.sum(weights * y.astype(jnp.float32)), y

        gradients, y = jax.grad(total, argnums=(0, 1), has_aux=True)(variables, x)
        return y, gradients

    results, flax_results = jax.jit(
        lambda *args: [run(layer, *args) for layer in (ours, theirs)]
    )(variables, x)
    assert_same_tree(results, flax_results, flax_results[0].dtype)


def assert_same_init(ours, theirs, shape):
    """The same key gives the same parameters, bit for bit."""
    both = jax.jit(lambda x: [layer.init(KEY, x) for layer in (ours, theirs)])
    assert_same_tree(*both(jnp.ones(shape)))


def normal(shape, dtype):
    """Normal values, the same for a shape each time."""
    values = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    return jax.device_put(values)
