"""Numbers of every kind go through the layers as they go through Flax's."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from cnnjax import layers, ops
from tests.support.layers.flax_likeness import KEY, assert_same_tree, normal

KERNELS = [
    ("Conv", {"kernel_size": (3,)}),
    ("Conv", {"kernel_size": (3,), "feature_group_count": 2}),
    ("ConvTranspose", {"kernel_size": (3,), "strides": 2}),
    ("Dense", {}),
]
FLOAT8 = [name for name in dir(jnp) if name.startswith("float8") and "e8m0" not in name]


@pytest.mark.parametrize(("name", "options"), KERNELS)
@pytest.mark.parametrize("which", ["input", "parameters", "dtype", "stored"])
def test_complex_numbers_are_computed_as_by_flax(name, options, which):
    x = normal((2, 5, 4), jnp.float32)
    x = x + 1j * x[::-1] if which == "input" else x
    if which == "parameters":
        options = {**options, "param_dtype": jnp.complex64}
    if which == "dtype":
        options = {**options, "dtype": jnp.complex64}

    def run(nn):
        layer = getattr(nn, name)(4, **options)
        variables = layer.init(KEY, x)
        if which == "stored":
            variables = jax.tree.map(lambda leaf: leaf * (1 + 2j), variables)

        def loss(variables, x):
            y = layer.apply(variables, x)
            return jnp.sum(jnp.real(y * jnp.conj(y))), y

        return jax.grad(loss, (0, 1), has_aux=True)(variables, x)

    ours, theirs = run(layers), run(linen)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert jnp.iscomplexobj(ours[1])


ACTIVATIONS = ["relu", "relu6", "sigmoid", "tanh", "gelu", "silu", "softmax"]
INPUTS = {
    "int32": jnp.arange(-3, 9),
    "large": jnp.array([70_000, -70_000]),
    "uint8": jnp.arange(6, dtype=jnp.uint8),
    "bool": jnp.array([True, False]),
    "complex64": jnp.array([1 + 2j, -1 - 0.5j, 7 + 1j]),
    "numpy": np.linspace(-2, 2, 5, dtype=np.float32),
}


@pytest.mark.parametrize("name", [*ACTIVATIONS, "log_softmax", "exact gelu"])
@pytest.mark.parametrize("kind", INPUTS)
def test_activations_take_what_those_of_flax_take(name, kind):
    options = {"approximate": False} if name == "exact gelu" else {}
    name = name.removeprefix("exact ")

    def run(nn) -> Any:
        try:
            return getattr(nn, name)(INPUTS[kind], **options)
        except Exception as error:
            return type(error)

    ours, theirs = run(layers), run(linen)
    if isinstance(theirs, type):
        assert ours is theirs
    else:
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["relu", "relu6", "tanh", "gelu", "silu"])
def test_complex_activations_have_the_gradients_of_flax(name):
    def of(nn):
        def total(x):
            y = getattr(nn, name)(x)
            return jnp.sum(jnp.real(y) + 2 * jnp.imag(y))

        return jax.grad(total)(INPUTS["complex64"])

    np.testing.assert_allclose(of(layers), of(linen), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", FLOAT8)
def test_small_floats_are_pooled_as_by_flax(dtype):
    x = (normal((1, 5, 4, 2), jnp.float32) - 3).astype(dtype)
    options = {"window_shape": (3, 3), "strides": (2, 2), "padding": "SAME"}
    ours, theirs = (nn.max_pool(x, **options) for nn in (layers, linen))
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours.astype(float), theirs.astype(float))
    with ops.gradients("autodiff"):
        stock = layers.max_pool(x, **options)
    np.testing.assert_array_equal(ours.astype(float), stock.astype(float))
    mean = layers.avg_pool(x, (2, 2), (2, 2))
    exact = linen.avg_pool(x.astype(jnp.float32), (2, 2), (2, 2)).astype(dtype)
    assert mean.dtype == exact.dtype
    np.testing.assert_array_equal(mean.astype(float), exact.astype(float))


@pytest.mark.parametrize(
    "options",
    [
        {"param_dtype": jnp.float64},
        {"dtype": jnp.float64},
        {"dtype": jnp.float32, "param_dtype": jnp.float64},
        {"param_dtype": jnp.float64, "axis": 1},
        {"param_dtype": jnp.float64, "force_float32_reductions": False},
    ],
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float64])
def test_statistics_keep_the_dtype_that_flax_gives_them(options, dtype, x64):
    x = normal((4, 3, 8), jnp.float64).astype(dtype)

    def run(nn):
        layer = nn.BatchNorm(use_running_average=False, **options)
        variables = layer.init(KEY, x)
        return variables, layer.apply(variables, x, mutable=["batch_stats"])

    ours, theirs = run(layers), run(linen)
    assert_same_tree(ours[0], theirs[0])
    assert_same_tree(ours[1], theirs[1], jnp.bfloat16)


@pytest.fixture
def one_rank():
    """Arithmetic of arrays of different ranks is an error."""
    with jax.numpy_rank_promotion("raise"):
        yield


class Network(layers.Module):
    """Every layer and pooling once."""

    @layers.compact
    def __call__(self, x):
        nn = layers
        x = nn.Conv(8, (3, 3)).and_relu(x)
        x = nn.BatchNorm(use_running_average=False).and_relu(x, add=x)
        x = nn.Conv(8, (3, 3), feature_group_count=8)(nn.relu6(x))
        x = nn.ConvTranspose(8, (2, 2), padding="CIRCULAR")(nn.gelu(x))
        x = nn.BatchNorm(use_running_average=False)(nn.Conv(8, (1, 1), strides=2)(x))
        x = nn.GroupNorm(2)(nn.LayerNorm()(nn.silu(x)))
        x = nn.max_pool(x, (2, 2), padding="SAME")
        x = nn.avg_pool(x, (2, 2), padding="SAME", count_include_pad=False)
        x = ops.global_avg_pool(nn.Dropout(0.5, deterministic=False)(x))
        return nn.log_softmax(nn.Dense(3)(x))


@pytest.mark.parametrize("backend", ["auto", "xla"])
@pytest.mark.parametrize("mode", ["custom", "autodiff"])
def test_nothing_relies_on_arrays_of_different_ranks(backend, mode, one_rank):
    x = normal((2, 6, 6, 8), jnp.float32)
    labels = jnp.array([0, 2])
    keys = {"params": KEY, "dropout": KEY}

    def loss(variables):
        y, _ = Network().apply(variables, x, rngs=keys, mutable=["batch_stats"])
        entropy = ops.softmax_cross_entropy(y, labels, label_smoothing=0.1)
        return jnp.mean(entropy) + jnp.mean(ops.sigmoid_binary_cross_entropy(y, y))

    with ops.backend(backend), ops.gradients(mode):
        variables = jax.eval_shape(Network().init, keys, x)
        jax.jit(jax.grad(loss)).lower(variables)
