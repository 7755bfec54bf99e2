"""A program of convolutions that XLA's own ends the process on, or gets wrong.

``test_conv_faults.py`` runs it. Each is held to NumPy by all backends, and so are the
gradients of gradients, whose sums are the same three again.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax import ops
from tests.reference import geometry
from tests.support.ops.conv.fuzz import WAYS, Problem, check


def problem(
    x,
    kernel,
    padding,
    strides: Any = 1,
    dilation: Any = 1,
    input_dilation: Any = 1,
    dtype="float32",
):
    where = geometry(len(x) - 2, padding, strides, dilation, input_dilation)
    return Problem(x, kernel, dtype, where, 1)


CROPPED = [
    *(problem((2, 8, 3), (2, 3, 8), (pair,)) for pair in [(-2, 1), (2, 0), (-9, 12)]),
    *(problem((2, 8, 3), (3, 3, 8), (pair,)) for pair in [(3, 1), (4, 0), (0, 4)]),
    problem((2, 5, 6, 3), (2, 2, 3, 8), ((2, 0), (2, 0))),
    problem((2, 5, 6, 3), (2, 2, 3, 8), ((-1, 1), (-1, 1))),
    problem((2, 5, 6, 3), (2, 2, 3, 8), ((-1, 1), (0, -1)), dtype="bfloat16"),
    problem((2, 5, 6, 3), (2, 2, 3, 8), ((1, -1), (-2, 3)), dtype="float64"),
]

EXCHANGED = [
    problem((3, 3, 4, 3), (3, 2, 3, 4), 1, (1, 2), (2, 1)),
    problem((2, 1, 4, 3), (2, 2, 3, 4), 1, 2, dtype="float64"),
    problem((2, 1, 4, 3), (2, 2, 3, 4), 1, 2, dtype="bfloat16"),
    problem((2, 3, 1, 3), (2, 4, 3, 4), ((0, 0), (3, 2)), input_dilation=(2, 1)),
    problem(
        (2, 4, 2, 3), (3, 4, 3, 4), ((0, 0), (2, 2)), (2, 1), input_dilation=(3, 1)
    ),
    problem((2, 4, 2, 3, 3), (2, 4, 2, 3, 4), (0, 2, 0), input_dilation=(2, 1, 2)),
    # The window of the kernel gradient is dy, of size (2, 4) here.
    problem((2, 3, 2, 3), (4, 1, 3, 4), ((0, 0), (1, 1)), input_dilation=(2, 1)),
    problem(
        (2, 4, 2, 4, 9),
        (3, 3, 3, 3, 6),
        ((0, 0), (1, 0), (-2, 1)),
        (2, 1, 1),
        input_dilation=(3, 1, 1),
        dtype="float64",
    )._replace(groups=3),
    problem(
        (2, 4, 2, 6), (3, 4, 2, 6), ((0, 0), (2, 2)), (2, 1), input_dilation=(3, 1)
    )._replace(groups=3),
]


def check_transposed(dtype):
    """``conv_transpose`` with 2 taps 2 apart is two products per input."""
    rng = np.random.default_rng(0)
    x, kernel = (rng.standard_normal(n) for n in ((2, 3, 2, 3), (2, 2, 3, 4)))
    y = np.einsum("nijc,klcf->nikjlf", x, kernel[::-1, ::-1]).reshape(2, 6, 4, 4)
    arrays = jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)
    for padding in ("SAME", "VALID", ((1, 1), (1, 1))):
        value, vjp = jax.vjp(
            lambda *a, p=padding: ops.conv_transpose(*a, strides=2, padding=p), *arrays
        )
        np.testing.assert_allclose(value, y, rtol=1e-4, atol=1e-5)
        dx, _ = vjp(jnp.ones_like(value))
        expected = np.broadcast_to(kernel.sum((0, 1, 3)), x.shape)
        np.testing.assert_allclose(dx, expected, rtol=1e-4, atol=1e-5)


def check_second_order(which):
    """<f(x, w), dy> is linear in x: the gradient of |dx|^2 / 2 by dy is f(dx, w)."""
    rng = np.random.default_rng(1)
    x, kernel = (
        jax.device_put(rng.standard_normal(n).astype(np.float32))
        for n in (which.x, which.kernel)
    )

    def f(x):
        return ops.conv(x, kernel, **which.options, backend="xla")

    @jax.jit
    def both(x):
        y, vjp = jax.vjp(f, x)
        gradient = jax.grad(lambda dy: (vjp(dy)[0] ** 2).sum() / 2)(y)
        return gradient, f(vjp(y)[0])

    for mode in ("custom", "autodiff"):
        with ops.gradients(mode):
            np.testing.assert_allclose(*both(x), rtol=1e-4, atol=1e-3)


def main():
    for which in CROPPED + EXCHANGED:
        print(which, flush=True)
        for way in WAYS:
            with jax.enable_x64(which.dtype == "float64"):
                check(which, [way], print)
    for which in (CROPPED[1], CROPPED[6], EXCHANGED[0]):
        print("second order", which, flush=True)
        check_second_order(which)
    check_transposed("float32")
    with jax.enable_x64(True):
        check_transposed("float64")
