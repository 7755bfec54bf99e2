"""The product with a smaller array against NumPy's sums."""

import jax
import numpy as np
import pytest

from cnnjax import ops

RNG = np.random.default_rng(0)
X, DY = RNG.standard_normal((2, 2, 3, 5, 4))


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((2, 1, 1, 4), (1, 2)),
        ((2, 3, 1, 4), (2,)),
        ((4,), (0, 1, 2)),
        ((2, 3, 5, 4), ()),
        ((), (0, 1, 2, 3)),
    ],
)
def test_gradients_are_the_written_sums(shape, axes, x64):
    factor = RNG.standard_normal(shape)
    y, pull = jax.vjp(ops.scale, X, factor)
    dx, dfactor = pull(DY)
    np.testing.assert_array_equal(y, X * factor)
    np.testing.assert_array_equal(dx, DY * factor)
    assert dfactor.shape == shape
    sums = (DY * X).sum(axes).reshape(shape)
    np.testing.assert_allclose(dfactor, sums, rtol=1e-12)


def test_second_derivatives_stay_within_the_set(x64):
    factor = RNG.standard_normal(4)

    def gradient(factor):
        return jax.grad(lambda f: (ops.scale(X, f) ** 2).sum())(factor)

    hessian = jax.jacrev(gradient)(factor)
    np.testing.assert_allclose(hessian, 2 * np.diag((X**2).sum((0, 1, 2))))


def test_half_precision_keeps_its_dtype():
    x, factor = X.astype("bfloat16"), np.ones(4, "bfloat16")
    y, pull = jax.vjp(ops.scale, x, factor)
    assert {a.dtype.name for a in (y, *pull(y))} == {"bfloat16"}


@pytest.mark.parametrize("shape", [(3,), (1, 2, 3, 5, 4), (2, 2, 1, 4)])
def test_refuses_what_cannot_be_broadcast(shape):
    message = r"factor has shape .*, expected one that broadcasts to the shape of x"
    with pytest.raises(ValueError, match=message):
        ops.scale(X, np.ones(shape))
