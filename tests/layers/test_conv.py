"""``layers.Conv`` against ``flax.linen.Conv``: parameters, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from jax import lax

from cnnjax import layers
from tests.support.layers.flax_likeness import assert_same_init, assert_same_layer


def mask(*shape):
    return (np.arange(np.prod(shape)) % 3 > 0).reshape(shape)


CASES = [
    ((2, 7, 3), (4, 3), {}),
    ((2, 7, 3), (4, (2,)), {"strides": None, "kernel_dilation": None}),
    ((2, 7, 3), (4, 4), {"padding": "CAUSAL", "kernel_dilation": 2}),
    ((2, 7, 3), (4, (4,)), {"padding": "CIRCULAR", "strides": (3,)}),
    ((2, 5, 6, 2), (3, (3, 2)), {"padding": "REFLECT", "strides": 2}),
    ((2, 5, 6, 2), (3, (3, 2)), {"padding": "VALID", "use_bias": False}),
    ((2, 5, 6, 2), (3, (3, 2)), {"padding": "SAME_LOWER"}),
    ((2, 5, 6, 2), (3, (3, 2)), {"padding": 1}),
    ((2, 5, 6, 2), (3, (3, 2)), {"padding": (1, (0, 3)), "input_dilation": (1, 2)}),
    ((2, 5, 6, 2), (3, (3, 2)), {"strides": np.array([2, 1])}),
    ((2, 5, 6, 4), (6, [3, 3]), {"feature_group_count": 2}),
    ((2, 5, 6, 3), (6, (2, 3)), {"feature_group_count": 3, "strides": (2, 1)}),
    ((2, 5, 6, 2), (3, (3, 2)), {"mask": mask(3, 2, 2, 3).astype(np.float32)}),
    ((2, 5, 6, 2), (3, (3, 2)), {"mask": mask(3, 2, 2, 3)}),
    ((1, 3, 4, 5, 2), (2, (2, 3, 1)), {"strides": (1, 2, 2)}),
    ((5, 6, 2), (3, (3, 2)), {}),  # one image alone
    ((2, 1, 3, 5, 6, 2), (3, (3, 2)), {}),  # three batch axes
    ((2, 0, 5, 6, 2), (3, (3, 2)), {"padding": "CIRCULAR"}),
    ((2, 5, 6, 2), (3, (3, 2)), {"dtype": jnp.bfloat16}),
    ((2, 5, 6, 2), (3, (3, 2)), {"param_dtype": jnp.bfloat16}),
    ((2, 5, 6, 2), (3, (3, 2)), {"precision": lax.Precision.HIGHEST}),
]


@pytest.mark.parametrize(("shape", "args", "options"), CASES)
def test_is_the_layer_of_flax(shape, args, options):
    assert_same_layer(
        layers.Conv(*args, **options), linen.Conv(*args, **options), shape
    )


@pytest.mark.parametrize(
    "options",
    [
        {"feature_group_count": 2, "param_dtype": jnp.bfloat16},
        {
            "kernel_init": linen.initializers.orthogonal(),
            "bias_init": linen.initializers.normal(),
            "mask": mask(3, 2, 2, 4),
        },
    ],
)
def test_starts_as_the_layer_of_flax(options):
    args, inputs = (4, (3, 2)), 2 * options.get("feature_group_count", 1)
    assert_same_init(
        layers.Conv(*args, **options), linen.Conv(*args, **options), (1, 5, 6, inputs)
    )


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.int32, jnp.uint8])
def test_promotes_inputs_as_flax_does(dtype):
    x = jnp.arange(12).reshape(1, 6, 2).astype(dtype)
    ours, flax = layers.Conv(3, 2), linen.Conv(3, 2)
    variables = flax.init(jax.random.key(0), x)
    a, b = ours.apply(variables, x), flax.apply(variables, x)
    assert a.dtype == b.dtype
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_calls_a_convolution_of_the_users_own():
    calls = []

    def own(*args, **kwargs):
        calls.append(kwargs["feature_group_count"])
        return 2 * lax.conv_general_dilated(*args, **kwargs)

    x = jnp.ones((1, 5, 2))
    for hook in (
        {"conv_general_dilated": own},
        {"conv_general_dilated_cls": lambda: own},
    ):
        assert_same_layer(layers.Conv(3, 2, **hook), linen.Conv(3, 2, **hook), x.shape)
    assert len(calls) > 2
    variables = layers.Conv(3, 2).init(jax.random.key(0), x)
    doubled = layers.Conv(3, 2, conv_general_dilated=own).apply(variables, x)
    plain = layers.Conv(3, 2).apply(variables, x)
    np.testing.assert_allclose(doubled, 2 * plain, rtol=1e-6)


def test_refuses_with_the_values_in_the_message():
    def init(x, *args, **options):
        layer = layers.Conv(*args, **options)
        jax.eval_shape(layer.init, jax.random.key(0), x)

    x = jnp.ones((1, 5, 6, 3))
    with pytest.raises(ValueError, match=r"feature_group_count is 2.*the 3 input"):
        init(x, 4, (3, 3), feature_group_count=2)
    with pytest.raises(ValueError, match=r"mask has shape \(3, 3\).*\(3, 3, 3, 4\)"):
        init(x, 4, (3, 3), mask=jnp.ones((3, 3)))
    with pytest.raises(ValueError, match="strides is 0"):
        init(x, 4, (3, 3), strides=0)
    with pytest.raises(ValueError, match=r"covers \(7, 3\).*\(5, 6\)"):
        init(x, 4, (7, 3), padding="VALID")
    with pytest.raises(ValueError, match=r"\(5, 6\).*1 to 3 spatial"):
        init(x[0, :, :, 0], 4, (3, 3))
