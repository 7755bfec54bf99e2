"""Holds one implementation of the three maps of a convolution to loops in NumPy."""

import jax
import numpy as np

from cnnjax.ops.conv.problem import ConvProblem
from cnnjax.typing import Window
from tests import reference
from tests.support.ops.closeness import normal
from tests.support.ops.conv.cases import Case


def make_window(case: Case, backend="xla"):
    geometry = case.geometry
    pairs = tuple(map(tuple, geometry.padding))
    strides, dilation, ones = geometry.strides, geometry.dilation, (1,) * case.rank
    groups = case.options.get("groups", 1)
    return Window(strides, pairs, dilation, ones, groups, None, backend)


def make_problem(x, kernel, window: Window, dtype="float32"):
    geometry = window.strides, window.padding, window.dilation, window.input_dilation
    return ConvProblem(x, kernel, dtype, *geometry, window.groups)


def make_arrays(case: Case):
    """x, kernel and dy in float64."""
    rng = np.random.default_rng(0)
    x, kernel = (normal(rng, *shape)[0] for shape in (case.x, case.kernel))
    taps = case.kernel[:-2]
    places = reference.positions(case.x[1:-1], taps, case.geometry)
    dy, _ = normal(rng, len(x), *places, case.kernel[-1])
    return x, kernel, dy


def check_map(module, name, case: Case):
    """The map called ``name`` of the module, compiled, against NumPy."""
    window, groups = make_window(case), case.options.get("groups", 1)
    x, kernel, dy = map(np.asarray, make_arrays(case))
    y = reference.conv(x, kernel, np.zeros(case.kernel[-1]), case.geometry, groups)
    dx, dkernel, _ = reference.conv_gradients(x, kernel, dy, case.geometry, groups)
    args, static, exact = {
        "forward": ((x, kernel), (window,), y),
        "input_gradient": ((dy, kernel), (window, x.shape[1:-1]), dx),
        "kernel_gradient": ((x, dy), (window, kernel.shape[:-2]), dkernel),
    }[name]
    actual = jax.jit(lambda *arrays: getattr(module, name)(*arrays, *static))(*args)
    assert actual.shape == exact.shape
    np.testing.assert_allclose(actual, exact, rtol=1e-11, atol=1e-11)
