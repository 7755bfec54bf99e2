"""``layers.max_pool`` and ``avg_pool`` against flax.linen's functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from cnnjax import layers
from tests.support.layers.flax_likeness import assert_same_tree

CASES = [
    ((2, 7, 3), ((2,), (2,)), {}),
    ((2, 7, 3), ((3,),), {"padding": "SAME"}),
    ((2, 5, 6, 2), ((2, 3), (2, 1)), {"padding": "SAME"}),
    ((2, 5, 6, 2), ((2, 3), None, ((1, 0), (2, 1))), {}),
    ((5, 6, 2), ((2, 2), (2, 2)), {}),  # one image alone
    ((2, 1, 3, 5, 6, 2), ((2, 2), (2, 2)), {}),  # three batch axes
    ((1, 3, 4, 5, 2), ((2, 3, 1), (1, 2, 2)), {}),
    ((2, 8, 9, 2), ((8, 9),), {}),
    ((0, 5, 2), ((2,), (2,)), {}),
]


def assert_same_pool(name, shape, args, **options):
    x = jax.device_put(np.random.default_rng(0).standard_normal(shape, np.float32))

    @jax.jit
    def run(x):
        def once(nn):
            y, vjp = jax.vjp(lambda x: getattr(nn, name)(x, *args, **options), x)
            return y, *vjp(jnp.cos(jnp.arange(y.size, dtype=x.dtype)).reshape(y.shape))

        return once(layers), once(linen)

    assert_same_tree(*run(x), x.dtype)


@pytest.mark.parametrize(("shape", "args", "options"), CASES)
def test_max_pool_is_that_of_flax(shape, args, options):
    assert_same_pool("max_pool", shape, args, **options)


@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize(("shape", "args", "options"), CASES)
def test_avg_pool_is_that_of_flax(shape, args, options, count_include_pad):
    options = {**options, "count_include_pad": count_include_pad}
    assert_same_pool("avg_pool", shape, args, **options)


@pytest.mark.parametrize("name", ["max_pool", "avg_pool"])
@pytest.mark.parametrize("dtype", [jnp.int32, jnp.uint8, jnp.bfloat16, jnp.float16])
def test_dtypes_are_those_of_flax(name, dtype):
    x = jnp.arange(12).reshape(1, 6, 2).astype(dtype)
    a, b = (getattr(nn, name)(x, (2,), (2,)) for nn in (layers, linen))
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(a, b)


def test_strides_of_zero_are_refused():
    with pytest.raises(ValueError, match=r"strides is \(0,\)"):
        layers.max_pool(jnp.ones((1, 4, 1)), (2,), (0,))
