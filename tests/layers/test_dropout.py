"""``layers.Dropout`` against ``flax.linen.Dropout``: the same key drops the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import errors, linen

from cnnjax import layers

KEYS = {"dropout": jax.random.key(1), "noise": jax.random.key(2)}


@pytest.mark.parametrize(
    ("rate", "options"),
    [
        (0.0, {}),
        (0.3, {}),
        (0.3, {"broadcast_dims": (0, -1)}),
        (0.3, {"rng_collection": "noise"}),
        (1.0, {}),
    ],
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_same_mask_values_and_gradients(rate, options, dtype):
    x = jax.random.normal(jax.random.key(0), (2, 3, 4), dtype)

    @jax.jit
    def run(x):
        def once(layer):
            def apply(x):
                return layer(rate, **options).apply({}, x, False, rngs=KEYS)

            y, vjp = jax.vjp(apply, x)
            return y, *vjp(x)

        return once(layers.Dropout), once(linen.Dropout)

    for a, b in zip(*run(x), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_takes_a_key_and_is_off_when_deterministic():
    x = jnp.ones((3, 4))
    key = jax.random.key(5)
    a, b = (
        nn.Dropout(0.5, deterministic=False).apply({}, x, rng=key)
        for nn in (layers, linen)
    )
    np.testing.assert_array_equal(a, b)
    off = layers.Dropout(0.5, deterministic=True)
    np.testing.assert_array_equal(off.apply({}, x), x)
    np.testing.assert_array_equal(layers.Dropout(0.5).apply({}, x, True), x)


def test_refuses_what_flax_refuses():
    x = jnp.ones(3)
    with pytest.raises(ValueError, match="deterministic"):
        layers.Dropout(0.5).apply({}, x)
    with pytest.raises(ValueError, match="deterministic"):
        layers.Dropout(0.5, deterministic=True).apply({}, x, True)
    with pytest.raises(errors.InvalidRngError, match="dropout"):
        layers.Dropout(0.5).apply({}, x, False)
    with pytest.raises(ValueError, match=r"rate is 1.5"):
        layers.Dropout(1.5).apply({}, x, False, rngs=KEYS)
