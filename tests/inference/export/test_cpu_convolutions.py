"""Convolutions as sums over taps, against XLA's own convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops
from cnnjax.inference.export import cpu_convolutions
from cnnjax.ops.gradient import substituted
from tests.support.ops.closeness import normal

CASES = {
    "small image": ((2, 2, 3, 4), (3, 3), {"padding": 1}),
    "strides": ((2, 3, 2, 4), (3, 3), {"padding": 1, "strides": 2}),
    "dilation": ((2, 2, 3, 4), (3, 3), {"padding": 2, "dilation": (2, 1)}),
    "signal": ((2, 4, 3), (5,), {"padding": [(2, 3)]}),
    "volume": ((2, 5, 7, 6, 3), (3, 2, 3), {"strides": (2, 1, 2), "padding": 1}),
    "small volume": ((2, 4, 2, 1, 3), (2, 3, 3), {"padding": 1, "dilation": (2, 1, 1)}),
    "depthwise": ((2, 6, 5, 4), (3, 3), {"groups": 4}),
}


@pytest.mark.parametrize("case", CASES)
def test_sums_over_taps(case):
    shape, taps, options = CASES[case]
    rng = np.random.default_rng(0)
    inputs = shape[-1] // options.get("groups", 1)
    shapes = (shape, (*taps, inputs, 4), (4,))
    arrays = [jnp.asarray(normal(rng, *s)[0], jnp.float32) for s in shapes]

    def conv(x, kernel, bias):
        with ops.backend("xla"), ops.gradients("autodiff"):
            return ops.conv(x, kernel, bias, relu=True, **options)

    with substituted(cpu_convolutions.replace):
        traced = jax.make_jaxpr(conv)(*arrays)
        actual = conv(*arrays)
    assert "platform_index" in str(traced)
    np.testing.assert_allclose(actual, conv(*arrays), rtol=1e-5, atol=1e-5)


def test_other_convolutions_are_left_alone():
    x, kernel = jnp.ones((2, 4, 3, 2)), jnp.ones((3, 3, 2, 4))
    with substituted(cpu_convolutions.replace), ops.gradients("autodiff"):
        traced = jax.make_jaxpr(ops.conv)(x, kernel)
    assert "platform_index" not in str(traced)
