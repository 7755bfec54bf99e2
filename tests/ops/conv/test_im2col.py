"""The convolution as products of matrices, in steps over the images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from cnnjax.ops.conv import im2col, xla
from tests.support.ops.conv.cases import Case, case
from tests.support.ops.conv.map_check import check_map, make_arrays, make_window

DENSE = [
    case("1-D", (3, 11, 3), (4, 3, 5), dilation=2, padding=((1, 4),)),
    case("crop", (2, 9, 7, 3), (3, 2, 3, 4), padding=((-2, 1), (0, 3))),
    case("whole lines", (3, 5, 7, 17), (3, 2, 17, 4), dilation=(1, 2)),
    case("volume", (2, 5, 7, 4, 3), (3, 2, 4, 3, 2), padding=((1, 2), (-1, 1), (0, 3))),
]
STRIDED = [
    case("1-D by twos", (3, 11, 3), (4, 3, 50), strides=2),
    case("remainder", (3, 11, 8, 3), (4, 3, 3, 5), strides=(2, 3), padding=((1, 0), 4)),
    case("narrow kernel", (3, 4, 5, 2), (1, 2, 2, 9), strides=(1, 2)),
    case("volume by twos", (2, 5, 7, 6, 3), (3, 2, 4, 3, 2), strides=(1, 2, 3)),
]
GROUPED = [
    case("groups", (3, 6, 5, 6), (2, 3, 3, 4), groups=2, strides=(2, 1)),
    case("many outputs", (3, 6, 5, 3), (2, 1, 1, 12), groups=3, dilation=(1, 2)),
    case("groups, volume", (2, 3, 4, 5, 4), (2, 1, 3, 2, 6), groups=2),
]


@pytest.fixture(params=[1, 5000, 2**19])
def step_bytes(request, monkeypatch):
    """One image a step; a few, with a rest; all of them."""
    monkeypatch.setattr(im2col, "STEP_BYTES", request.param)


@pytest.mark.parametrize("case", DENSE + STRIDED)
def test_forward_equals_numpy(case, step_bytes, x64):
    check_map(im2col, "forward", case)


@pytest.mark.parametrize("case", DENSE)
def test_input_gradient_equals_numpy(case, x64):
    check_map(im2col, "input_gradient", case)


@pytest.mark.parametrize("case", DENSE + STRIDED + GROUPED)
def test_kernel_gradient_equals_numpy(case, step_bytes, x64):
    check_map(im2col, "kernel_gradient", case)


@pytest.mark.parametrize("in_axes", [(0, None), (None, 0), (0, 0)])
def test_vmap_is_a_loop(in_axes, x64):
    odd = Case((3, 4, 5, 4), (2, 3, 2, 6), {"groups": 2})
    window, (x, _, dy) = make_window(odd), make_arrays(odd)

    def gradient(x, dy):
        return im2col.kernel_gradient(x, dy, window, (2, 3))

    arrays = [
        a if axis is None else jnp.stack([a, 2 * a])
        for a, axis in zip((x, dy), in_axes, strict=True)
    ]
    mapped = jax.jit(jax.vmap(gradient, in_axes))(*arrays)
    factor = 2 ** sum(axis == 0 for axis in in_axes)
    np.testing.assert_allclose(mapped[0], gradient(x, dy), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(mapped[1], factor * mapped[0], rtol=1e-12, atol=1e-12)


def test_half_precision_is_summed_in_float32():
    """16384 ones in bfloat16 would come to a halt at 256."""
    x = jnp.ones((4, 64, 64, 1), jnp.bfloat16)
    window = make_window(Case(x.shape, (1, 1, 1, 1), {}))
    dkernel = im2col.kernel_gradient(x, x, window, (1, 1))
    assert dkernel.dtype == jnp.bfloat16
    assert dkernel.item() == 4 * 64 * 64


@pytest.mark.parametrize("check_vma", [True, False])
def test_every_device_has_a_gradient_of_its_own(check_vma, x64):
    odd = Case((4, 6, 5, 3), (2, 3, 3, 2), {"padding": 1})
    window, (x, _, dy) = make_window(odd), make_arrays(odd)

    def gradient(x, dy):
        return im2col.kernel_gradient(x, dy, window, (2, 3))[None]

    devices = jax.devices()[:1]
    mesh = jax.make_mesh((1,), ("devices",), (AxisType.Auto,), devices=devices)
    split = PartitionSpec("devices")
    sharded = jax.shard_map(
        gradient, mesh=mesh, in_specs=split, out_specs=split, check_vma=check_vma
    )
    exact = xla.kernel_gradient(x, dy, window, (2, 3))[None]
    np.testing.assert_allclose(jax.jit(sharded)(x, dy), exact, rtol=1e-12, atol=1e-12)
