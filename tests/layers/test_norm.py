"""Normalization layers against flax.linen's: variables, values, statistics, errors."""

import dataclasses
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from cnnjax import layers
from tests.support.layers.flax_likeness import KEY, assert_same_tree, normal

IMAGES = (3, 4, 5, 6)


def mask(*shape):
    return np.arange(np.prod(shape)).reshape(shape) % 4 > 0


def run(layer, variables, x, options):
    """Output, new statistics, and the gradients of parameters and input."""

    def total(params, x):
        rest = {name: v for name, v in variables.items() if name != "params"}
        y, new = layer.apply({**rest, **params}, x, mutable=["batch_stats"], **options)
        weights = jnp.cos(jnp.arange(y.size)).reshape(y.shape)
        loss = jnp.sum(weights * jnp.real(y + y * y).astype(jnp.float32))
        return loss, (y, new)

    params = {name: v for name, v in variables.items() if name == "params"}
    argnums = 0 if jnp.issubdtype(x.dtype, jnp.integer) else (0, 1)
    gradients, outputs = jax.grad(total, argnums, has_aux=True)(params, x)
    return gradients, outputs


def positive(leaf):
    """Values for parameters and statistics alike."""
    spread = np.abs(np.random.default_rng(1).standard_normal(leaf.shape)) / 4
    return jax.device_put((1 + spread).astype(leaf.dtype))


def assert_same(name, shape, options, call=None, x=None, dtype=jnp.float32):
    """``call`` holds the options of the call, ``options`` those of the constructor."""
    call, x = call or {}, normal(shape, jnp.float32) if x is None else x
    ours, theirs = (getattr(nn, name)(**options) for nn in (layers, linen))
    init = jax.jit(lambda x: [la.init(KEY, x, **call) for la in (ours, theirs)])
    trees = init(x)
    assert_same_tree(*trees)
    variables = jax.tree.map(positive, trees[0])
    both = jax.jit(
        lambda variables, x: [run(la, variables, x, call) for la in (ours, theirs)]
    )(variables, x)
    assert_same_tree(*both, dtype)


def fields(cls):
    return [(f.name, f.default, f.kw_only) for f in dataclasses.fields(cls)]


@pytest.mark.parametrize("name", ["BatchNorm", "LayerNorm", "GroupNorm"])
def test_constructor_and_call_are_those_of_flax(name):
    ours, theirs = (getattr(nn, name) for nn in (layers, linen))
    assert fields(ours) == fields(theirs)
    assert issubclass(ours, theirs)
    assert ours.__name__ == name  # it names the variables: BatchNorm_0, ...
    calls = [
        [(p.name, p.default, p.kind) for p in signature.parameters.values()]
        for signature in (inspect.signature(cls.__call__) for cls in (ours, theirs))
    ]
    assert calls[0] == calls[1]


TRAINING = {"use_running_average": False}
EVALUATION = {"use_running_average": True}
BATCH_CASES = [
    ({}, TRAINING, IMAGES),
    ({}, EVALUATION, IMAGES),
    ({"use_running_average": True}, {}, IMAGES),
    ({"momentum": 0.5, "epsilon": 0.1, "use_running_average": False}, {}, IMAGES),
    ({"use_fast_variance": False}, TRAINING, IMAGES),
    ({"use_bias": False}, TRAINING, IMAGES),
    ({"use_scale": False}, TRAINING, IMAGES),
    ({"use_scale": False, "use_bias": False}, TRAINING, IMAGES),
    ({"axis": 1}, TRAINING, IMAGES),
    ({"axis": 0}, EVALUATION, IMAGES),
    ({"axis": (1, -1)}, TRAINING, IMAGES),
    ({"axis": (-1, 2), "use_scale": False}, EVALUATION, IMAGES),
    ({}, {**TRAINING, "mask": mask(3, 4, 5, 1)}, IMAGES),
    ({"use_fast_variance": False}, {**TRAINING, "mask": mask(*IMAGES)}, IMAGES),
    ({"axis": 1}, {**TRAINING, "mask": mask(3, 1, 1, 1)}, IMAGES),
    ({}, TRAINING, (7, 3)),
    ({}, TRAINING, (2, 3, 2, 3, 4)),
    ({"scale_init": linen.initializers.normal()}, TRAINING, (4, 3)),
]


@pytest.mark.parametrize(("options", "call", "shape"), BATCH_CASES)
def test_batch_norm_is_the_layer_of_flax(options, call, shape):
    assert_same("BatchNorm", shape, options, call)


LAYER_CASES = [
    ({}, {}),
    ({"reduction_axes": (1, 2, 3)}, {}),
    ({"reduction_axes": (1, 2), "feature_axes": -1}, {}),
    ({"reduction_axes": (-1, 1), "feature_axes": (1, -1)}, {}),
    # Five values of a small variance would multiply the roundings.
    ({"reduction_axes": 2, "feature_axes": (0, 2), "epsilon": 0.1}, {}),
    ({"use_scale": False}, {}),
    ({"use_bias": False, "epsilon": 0.1}, {}),
    ({"use_scale": False, "use_bias": False}, {}),
    ({"use_fast_variance": False}, {"mask": mask(*IMAGES)}),
    ({}, {"mask": mask(6)}),
]


@pytest.mark.parametrize(("options", "call"), LAYER_CASES)
def test_layer_norm_is_the_layer_of_flax(options, call):
    assert_same("LayerNorm", IMAGES, options, call)


GROUP_CASES = [
    ({"num_groups": 3}, {}, IMAGES),
    ({"num_groups": 1}, {}, IMAGES),
    ({"num_groups": 6}, {}, IMAGES),
    ({"num_groups": None, "group_size": 2}, {}, IMAGES),
    ({"num_groups": 2, "reduction_axes": (1, -1)}, {}, IMAGES),
    ({"num_groups": 2, "reduction_axes": (-1, 0, 2)}, {}, IMAGES),
    ({"num_groups": 2, "use_scale": False}, {}, IMAGES),
    ({"num_groups": 2, "use_bias": False, "epsilon": 0.1}, {}, IMAGES),
    ({"num_groups": 2, "use_fast_variance": False}, {"mask": mask(*IMAGES)}, IMAGES),
    ({"num_groups": 2}, {"mask": mask(3, 1, 1, 6)}, IMAGES),
    ({"num_groups": 2}, {"mask": mask(6)}, IMAGES),
    ({"num_groups": 2}, {}, (5, 6)),
    ({"num_groups": 2}, {}, (6,)),
    ({}, {}, (2, 3, 64)),
]


@pytest.mark.parametrize(("options", "call", "shape"), GROUP_CASES)
def test_group_norm_is_the_layer_of_flax(options, call, shape):
    assert_same("GroupNorm", shape, options, call)


LAYERS = [
    ("BatchNorm", {}, TRAINING),
    ("BatchNorm", {}, EVALUATION),
    ("LayerNorm", {}, {}),
    ("GroupNorm", {"num_groups": 3}, {}),
]
EACH = pytest.mark.parametrize(("name", "options", "call"), LAYERS)
DTYPES = [
    (jnp.bfloat16, {"param_dtype": jnp.bfloat16}),
    (jnp.float32, {"dtype": jnp.bfloat16}),
    (jnp.float16, {"dtype": jnp.float32}),
]


@EACH
@pytest.mark.parametrize(("dtype", "more"), DTYPES)
def test_dtypes_are_those_of_flax(name, options, call, dtype, more):
    """Sums are in float32, and so are the running statistics."""
    x = normal(IMAGES, dtype)
    assert_same(name, IMAGES, {**options, **more}, call, x, jnp.bfloat16)


@EACH
def test_float64_stays(name, options, call, x64):
    x = normal(IMAGES, jnp.float64)
    options = {**options, "param_dtype": jnp.float64}
    assert_same(name, IMAGES, options, call, x, jnp.float64)


@EACH
def test_whole_numbers_become_floats(name, options, call):
    x = jnp.arange(360, dtype=jnp.uint8).reshape(IMAGES) % 17
    assert_same(name, IMAGES, options, call, x)


@EACH
def test_half_precision_sums_are_left_to_flax(name, options, call):
    options = {**options, "force_float32_reductions": False}
    options["param_dtype"] = jnp.bfloat16
    x = normal(IMAGES, jnp.bfloat16)
    assert_same(name, IMAGES, options, call, x, jnp.bfloat16)


@EACH
def test_complex_numbers_are_left_to_flax(name, options, call):
    x = normal(IMAGES, jnp.float32)
    x = x + 1j * jnp.flip(x)
    ours, theirs = (getattr(nn, name)(**options) for nn in (layers, linen))
    variables = theirs.init(KEY, x, **call)

    def parts(layer):
        outputs = layer.apply(variables, x, mutable=["batch_stats"], **call)
        return jax.tree.map(lambda a: jnp.stack([a.real, a.imag]), outputs)

    assert_same_tree(parts(ours), parts(theirs))


@pytest.mark.parametrize("outside", [True, False])
def test_statistics_over_a_mapped_axis_are_those_of_flax(outside):
    x = normal(IMAGES, jnp.float32)

    def results(nn):
        layer = nn.BatchNorm(use_running_average=False, axis_name="devices")
        variables = layer.init(KEY, x[0])  # where the axis does not exist

        def one(params, x):
            variables_ = {**variables, "params": params}
            y, new = layer.apply(variables_, x, mutable=["batch_stats"])
            return jnp.sum(y**3), new

        if outside:

            def loss(params, x):
                mapped = jax.vmap(one, (None, 0), axis_name="devices")
                sums, new = mapped(params, x)
                return sums.sum(), new

            return jax.grad(loss, (0, 1), has_aux=True)(variables["params"], x)
        gradient = jax.grad(one, (0, 1), has_aux=True)
        mapped = jax.vmap(gradient, (None, 0), axis_name="devices")
        return mapped(variables["params"], x)

    both = jax.jit(lambda: [results(nn) for nn in (layers, linen)])()
    assert_same_tree(*both, jnp.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LayerNorm", "GroupNorm"])
def test_other_layers_share_a_mapped_axis_too(name):
    x = normal(IMAGES, jnp.float32)
    more = {"num_groups": 3} if name == "GroupNorm" else {}

    def results(nn):
        layer = getattr(nn, name)(axis_name="devices", **more)
        run = jax.vmap(lambda x: layer.init_with_output(KEY, x), axis_name="devices")
        return run(x)

    assert_same_tree(results(layers), results(linen), jnp.float32)


def test_initialization_leaves_the_statistics_alone():
    x = 5 + normal(IMAGES, jnp.float32)
    layer = layers.BatchNorm(use_running_average=False)
    y, variables = layer.init_with_output(KEY, x)
    np.testing.assert_array_equal(variables["batch_stats"]["mean"], np.zeros(6))
    np.testing.assert_array_equal(variables["batch_stats"]["var"], np.ones(6))
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
    # Once trained, the running statistics approach those of the data.
    for _ in range(3):
        _, new = layer.apply(variables, x, mutable=["batch_stats"])
        variables = {**variables, **new}
    expected = (1 - 0.99**3) * np.asarray(x).mean((0, 1, 2))
    np.testing.assert_allclose(variables["batch_stats"]["mean"], expected, rtol=1e-4)


def test_what_is_masked_may_be_nan():
    x = np.array(normal(IMAGES, jnp.float32))
    where = mask(3, 4, 5, 1)
    x[~where[..., 0]] = np.nan
    layer = layers.BatchNorm(use_running_average=False)
    variables = layer.init(KEY, x)
    y, new = layer.apply(variables, x, mask=where, mutable=["batch_stats"])
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(new))
    assert (jnp.isfinite(y) == where).all()


def test_an_empty_batch_is_that_of_flax():
    x = jnp.zeros((0, 4, 3))
    results = []
    for nn in (layers, linen):
        layer = nn.BatchNorm(use_running_average=False)
        variables = layer.init(KEY, x)
        results.append(layer.apply(variables, x, mutable=["batch_stats"]))
    assert_same_tree(*results, jnp.float32)
