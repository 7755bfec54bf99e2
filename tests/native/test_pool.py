"""The pooling loops in C++, held bit for bit to XLA's operations."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnnjax import ops
from cnnjax.native.pool import FEWEST_CHANNELS
from tests.support.native.programs import run
from tests.support.ops.pool.cases import COMMON, DILATED, Case, case

DTYPES = [jnp.float32, jnp.bfloat16]
CHANNELS = [1, 7, 85]  # 85 fill vectors of 16, 8 and 4, and one is left
WIDE = [
    case("stem", (3, 17, 19, 1), (3, 3), strides=2, padding="SAME"),
    case("every fourth pixel", (2, 9, 9, 1), (2, 2), strides=(4, 3)),
    case("taps between taps", (2, 20, 1), (4,), dilation=2, strides=3, padding=3),
    case("common factor", (2, 40, 1), (3,), dilation=6, strides=4, padding=((7, 2),)),
    case("many threads", (8, 64, 65, 1), (2, 2), strides=2),
    case("one image on many threads", (1, 9001, 1), (3,), strides=1, padding=1),
]
TILES = [
    case("tiles of a line", (2, 12, 1), (3,), strides=3),
    case("padding that none reaches", (2, 6, 1), (2,), strides=2, padding=((0, 1),)),
    case("tiles of an image", (3, 6, 4, 1), (3, 2), strides=(3, 2)),
    case("tiles of a volume", (2, 4, 6, 8, 1), (2, 3, 2), strides=(2, 3, 2)),
    case("tiles on many threads", (8, 64, 66, 1), (2, 2), strides=2),
]
SMALL = Case((2, 6, 7, 16), (3, 2), {"strides": (2, 1), "padding": ((1, 0), (0, 1))})


def hard_values(rng, shape, dtype):
    """Ties, NaN, infinities, zeros of both signs, and numbers that are too small."""
    x = rng.integers(-1, 4, shape).astype(np.float32)
    for value in (np.nan, -np.inf, -np.inf, np.inf, -0.0, 1e-40):
        x[rng.random(shape) < 0.05] = value
    return jnp.asarray(x, dtype)


def gradient(x, dy, where, backend):
    def pool(x):
        return ops.max_pool(x, where.window, backend=backend, **where.options)

    y, vjp = jax.vjp(pool, x)
    return y, *vjp(dy)


def make_arrays(where, channels, dtype=jnp.float32):
    rng = np.random.default_rng(0)
    x = hard_values(rng, (*where.x[:-1], channels), dtype)
    y = jax.eval_shape(lambda x: ops.max_pool(x, where.window, **where.options), x)
    dy = rng.standard_normal(y.shape)
    dy[rng.random(y.shape) < 0.4] = -0.0  # even all of a place's terms
    return x, jax.device_put(dy.astype(np.float32)).astype(dtype)


def assert_same_bits(actual, expected):
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("where", COMMON + DILATED + WIDE + TILES)
def test_equals_xla_bit_for_bit(where, dtype):
    both = jax.jit(partial(gradient, where=where), static_argnames="backend")
    arrays = make_arrays(where, max(CHANNELS), dtype)
    expected = both(*arrays, backend="xla")
    for channels in CHANNELS:  # each is pooled by itself
        some = partial(jax.tree.map, lambda a, n=channels: a[..., :n])
        assert_same_bits(both(*some(arrays), backend="native"), some(expected))


@pytest.mark.parametrize("where", COMMON + TILES)
def test_averages_equal_those_of_xla(where):
    shape = (*where.x[:-1], max(CHANNELS))
    x = np.random.default_rng(0).standard_normal(shape, np.float32)

    @partial(jax.jit, static_argnames="backend")
    def averages(x, backend):
        pool = partial(ops.avg_pool, window=where.window, **where.options)
        y, vjp = jax.vjp(partial(pool, backend=backend), x)
        return y, *vjp(jnp.cos(y))

    ours, expected = averages(x, backend="native"), averages(x, backend="xla")
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_second_derivatives_and_vmap():
    x, dy = make_arrays(SMALL, 16)
    x = jnp.where(jnp.isfinite(x), x, 0)

    def derivatives(backend):
        def second(x, v):
            def along(x):
                y, dx = gradient(x, jnp.cos(dy) * x[0, 0, 0, 0], SMALL, backend)
                return jnp.vdot(jnp.sin(dx), v) + jnp.sum(y**3)

            return jax.grad(along)(x)

        many = jnp.stack([x, x[::-1], x * x])
        v = jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape)
        once = jax.vmap(second, (0, None))
        twice = jax.vmap(jax.vmap(second, (None, 0)), (3, None), 3)
        return jax.jit(once)(many, v), jax.jit(twice)(jnp.stack([x, -x], 3), many)

    for a, b in zip(derivatives("native"), derivatives("xla"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_vmap_where_one_array_alone_is_mapped():
    x, dy = make_arrays(SMALL, 16)
    many = jnp.stack([dy, -dy, 2 * dy])
    mapped = jax.vmap(lambda dy: gradient(x, dy, SMALL, "native")[1])(many)
    for one, dx in zip(many, mapped, strict=True):
        assert_same_bits(dx, gradient(x, one, SMALL, "native")[1])


def test_scan_and_checkpoint():
    x, _ = make_arrays(SMALL, 16)
    x = jnp.where(jnp.isfinite(x), x, 0)

    def network(backend, wrap):
        def layer(x, _):
            y = ops.max_pool(jnp.sin(x), 3, padding="SAME", backend=backend)
            return 1.1 * y, None

        loss = lambda x: jnp.sum(lax.scan(wrap(layer), x, length=3)[0] ** 2)  # noqa: E731
        return jax.jit(jax.grad(loss))(x)

    expected = network("xla", lambda layer: layer)
    for wrap in (lambda layer: layer, jax.checkpoint):
        np.testing.assert_allclose(network("native", wrap), expected, rtol=1e-5)


def test_no_images_and_no_channels():
    for shape in ((0, 6, 5, 16), (2, 6, 5, 0)):
        with ops.backend("native"):
            y, vjp = jax.vjp(lambda x: ops.max_pool(x, 2), jnp.ones(shape))
            (dx,) = vjp(y)
        assert y.shape == (shape[0], 5, 4, shape[-1]) and dx.shape == shape


def test_threads_compute_bit_for_bit_what_one_does():
    where = Case((16, 32, 33, 16), (3, 3), {"strides": 2, "padding": "SAME"})
    arrays = make_arrays(where, 16)
    step = jax.jit(partial(gradient, where=where, backend="native"))
    alone = jax.tree.map(np.asarray, step(*arrays))
    with ThreadPoolExecutor(8) as pool:
        for result in pool.map(lambda _: step(*arrays), range(200)):
            assert_same_bits(result, alone)


def test_two_devices_compute_bit_for_bit_what_one_does():
    run(
        "-m",
        "tests.support.native.pool_devices",
        JAX_PLATFORMS="cpu",
        JAX_NUM_CPU_DEVICES="2",
    )


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["AVX2", "SSE41"])
def test_older_instructions_compute_the_same(isa):
    run(
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        "equals_xla_bit_for_bit and (stem or volume or dilated or factor)",
        "tests/native/test_pool.py",
        ONEDNN_MAX_CPU_ISA=isa,
    )


def lowered(x, backend="auto", window=2, platform=None):
    step = jax.grad(lambda x: ops.max_pool(x, window, backend=backend).sum())
    traced = jax.jit(step).trace(jax.ShapeDtypeStruct(*x))
    return traced.lower(lowering_platforms=platform).as_text()


def test_auto_takes_the_loops_where_they_are_fast():
    image = (1, 4, 4, FEWEST_CHANNELS), jnp.float32
    assert "@cnnjax_max_pool_v1" in lowered(image)
    assert "@cnnjax_max_pool_place_v1" in lowered(image)
    for other in (
        lowered(image, platform=("cuda",)),
        lowered(image, platform=("tpu",)),
        lowered(image, backend="xla"),
        lowered(image, window=1),
        lowered(((1, 4, 4, FEWEST_CHANNELS - 1), jnp.float32)),
        lowered(((1, 4, 4, FEWEST_CHANNELS), jnp.float16)),
    ):
        assert "@cnnjax" not in other


@pytest.mark.parametrize("pool", [ops.max_pool, ops.avg_pool])
def test_refuses_what_it_cannot_compute(pool, x64):
    x = jnp.ones((1, 4, 4, 16), jnp.float64)
    with pytest.raises(ValueError, match=r"cannot compute.*float64.*use 'auto'"):
        pool(x, 2, backend="native")
    with pytest.raises(ValueError, match="257 taps, expected at most 256"):
        pool(jnp.ones((1, 300, 16), jnp.float32), 257, backend="native")
    with pytest.raises(ValueError, match="backend is 'fast'"):
        pool(x, 2, backend="fast")
