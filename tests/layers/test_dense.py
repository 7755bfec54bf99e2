"""``layers.Dense`` against ``flax.linen.Dense``."""

import jax.numpy as jnp
import pytest
from flax import linen
from jax import lax

from cnnjax import layers
from tests.support.layers.flax_likeness import assert_same_init, assert_same_layer


def own(*args, **kwargs):
    return 2 * lax.dot_general(*args, **kwargs)


CASES = [
    ((4, 3), {}),
    ((3,), {}),
    ((2, 0, 3), {}),
    ((2, 1, 4, 3), {"use_bias": False}),
    ((4, 3), {"dtype": jnp.bfloat16}),
    ((4, 3), {"param_dtype": jnp.bfloat16}),
    ((4, 3), {"precision": "highest"}),
    ((4, 3), {"dot_general": own}),
    ((4, 3), {"dot_general_cls": lambda: own}),
]


@pytest.mark.parametrize(("shape", "options"), CASES)
def test_is_the_layer_of_flax(shape, options):
    assert_same_layer(layers.Dense(5, **options), linen.Dense(5, **options), shape)


@pytest.mark.parametrize(
    "options",
    [
        {"param_dtype": jnp.bfloat16},
        {
            "kernel_init": linen.initializers.orthogonal(),
            "bias_init": linen.initializers.normal(),
        },
    ],
)
def test_starts_as_the_layer_of_flax(options):
    assert_same_init(layers.Dense(5, **options), linen.Dense(5, **options), (4, 3))
