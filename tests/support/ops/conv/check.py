"""Holds ``ops.conv`` and its gradients to loops in NumPy and to XLA."""

import jax.numpy as jnp
import numpy as np

from cnnjax import ops
from tests import reference
from tests.support.ops.closeness import assert_sum_close, normal, values_and_gradients
from tests.support.ops.conv.cases import Case, stock_conv


def exact_conv(case: Case, x, kernel, bias):
    groups = case.options.get("groups", 1)
    if case.copies:
        x = reference.pad(x, case.copies, case.options["padding"])
    if case.options.get("flip_kernel"):
        kernel = np.flip(kernel, range(case.rank))
    return reference.conv(x, kernel, bias, case.geometry, groups)


def exact_gradients(case: Case, x, kernel, dy):
    groups, sizes = case.options.get("groups", 1), x.shape[1:-1]
    flips = range(case.rank) if case.options.get("flip_kernel") else ()
    if case.copies:
        x = reference.pad(x, case.copies, case.options["padding"])
    dx, dkernel, dbias = reference.conv_gradients(
        x, np.flip(kernel, flips), dy, case.geometry, groups
    )
    if case.copies:
        dx = reference.pad_gradient(dx, sizes, case.copies, case.options["padding"])
    return dx, np.flip(dkernel, flips), dbias


def check(case: Case, dtype):
    rng = np.random.default_rng(0)
    x, x64 = normal(rng, *case.x, dtype=dtype)
    kernel, kernel64 = normal(rng, *case.kernel, dtype=dtype)
    bias, bias64 = normal(rng, case.kernel[-1], dtype=dtype)

    def layer(*args):
        return ops.conv(*args, **case.options)

    def stock_layer(x, kernel, bias):
        return stock_conv(case, x, kernel) + bias

    exact = exact_conv(case, x64, kernel64, bias64)
    dy, dy64 = normal(rng, *exact.shape, dtype=dtype)
    ours, stock = values_and_gradients((layer, stock_layer), dy, x, kernel, bias)

    assert [a.dtype for a in ours] == [dtype] * 4
    # A sum over the batch and all places has the most terms, whatever its unknown.
    terms = x64[..., 0].size + dy64[..., 0].size + kernel64[..., 0].size
    absolute = exact_conv(case, *map(np.abs, (x64, kernel64, bias64)))
    exacts = exact, *exact_gradients(case, x64, kernel64, dy64)
    absolutes = absolute, *exact_gradients(case, *map(np.abs, (x64, kernel64, dy64)))
    for actual, exact, absolute in zip(ours, exacts, absolutes, strict=True):
        assert_sum_close(actual, exact, absolute, terms)
    if dtype == jnp.float64:
        for actual, autodiff in zip(ours, stock, strict=True):
            np.testing.assert_allclose(actual, autodiff, rtol=1e-12, atol=1e-12)
