"""How far a sum in floating point may lie from the exact one, and what to compare."""

import jax
import jax.numpy as jnp
import numpy as np

ACCUMULATORS = {"float64": "float64", "float32": "float32", "bfloat16": "float32"}


def assert_sum_close(actual, exact, magnitude, terms):
    """Holds ``actual`` to the bound of a sum of rounded products.

    Args:
        actual: the array under test; its dtype decides.
        exact: the float64 reference.
        magnitude: the same sum over the absolute values of all factors.
        terms: how many products a sum has; each rounds by at most ``eps / 2`` times
            ``magnitude``. XLA sums bfloat16 in float32, and rounds what comes out:
            a product, then the sum with a bias or with the copies of a pixel. Four
            such roundings are let pass.
    """
    dtype = str(actual.dtype)
    summing = terms * float(jnp.finfo(ACCUMULATORS[dtype]).eps)
    rounding = 2 * float(jnp.finfo(dtype).eps)
    error = np.abs(np.asarray(actual, np.float64) - exact)
    assert actual.shape == exact.shape
    assert np.all(error <= (summing + rounding) * magnitude)


def normal(rng, *shape, dtype=np.float64):
    """Normal values of ``dtype``, and the same values exactly, in float64."""
    values = rng.standard_normal(shape).astype(dtype)
    return jax.device_put(values), values.astype(np.float64)


def values_and_gradients(functions, dy, *args):
    """For each function its value and the gradients of all ``args``; compiled once."""

    @jax.jit
    def run(dy, *args):
        vjps = [jax.vjp(function, *args) for function in functions]
        return [(y, *vjp(dy)) for y, vjp in vjps]

    return run(dy, *args)
