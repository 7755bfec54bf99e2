"""Shapes, sizes and refusals of every network, and that it lowers for any platform."""

import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import models, ops
from cnnjax.models.initializers import INITIALIZERS, make_initializer
from tests.support.shallow import shallow

KEY = jax.random.key(0)
# One of each kind: the others are deeper, wider, or a variant of the same blocks.
KINDS = [
    "lenet5",
    "mobilenet_v2",
    "resnet20",
    "simple_cnn",
    "small_cnn",
    "vgg11",
]
MORE_KINDS = ["convnext_tiny", "mobilenet_v3_small"]  # with operations of their own
SMALL = {
    "mobilenet_v2": {"multiplier": 0.1},
    "resnet20": {"widths": (4, 4, 4), "blocks": (2, 2, 2)},
    "simple_cnn": {"widths": (4, 4), "dense": (8,), "batch_norm": True},
    "vgg11": {"widths": (4, 4, 4, 4, 4), "dense": (32, 32)},
}
WITH_DROPOUT = [name for name in KINDS if hasattr(models.MODELS[name], "dropout")]


def init(model, shape):
    """Parameters as shapes and dtypes; nothing is computed."""
    x = jnp.zeros(shape)
    return jax.eval_shape(lambda: model.init(KEY, x, train=False))["params"]


def apply(model, variables, x, train, key):
    """Logits; in training the changed statistics are dropped."""
    options = {"train": train, "rngs": {"dropout": key}}
    y = model.apply(variables, x, mutable=["batch_stats"] if train else [], **options)
    return y[0]


def some(shapes):
    """Small values in place of parameters; random ones take XLA long to compile."""
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: (0.1 * rng.standard_normal(leaf.shape)).astype(leaf.dtype), shapes
    )


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("lenet5", 61_706), ("small_cnn", 94_354), ("simple_cnn", 824_458)],
)
def test_parameters_on_images_of_28_by_28(name, parameters):
    model = models.make_model(name, num_classes=10)
    assert count(init(model, (1, 28, 28, 1))) == parameters


CLASSIFIERS = [name for name in models.MODELS if name != "unet"]
OF_EACH_CODE = {models.MODELS[name].__call__: name for name in reversed(CLASSIFIERS)}


@functools.cache
def train_shapes(name, classes):
    """The output and the variables for three images of an odd size, in training."""
    sizes = {1: (71,), 2: (43, 35), 3: (5, 11, 9)}
    rank = getattr(models.MODELS[name], "rank", 2)
    x = jnp.zeros((3, *sizes[rank], 2))
    keys = {"params": KEY, "dropout": KEY}
    model = models.make_model(name, num_classes=classes, **shallow(name))
    return jax.eval_shape(lambda: model.init_with_output(keys, x, train=True))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_one_logit_for_each_class_and_image(name):
    logits, _ = train_shapes(name, 7)
    assert (logits.shape, logits.dtype) == ((3, 7), jnp.float32)


@pytest.mark.parametrize("name", OF_EACH_CODE.values())
def test_with_0_classes_the_features_that_logits_come_from(name):
    _, variables = train_shapes(name, 7)
    features, headless = train_shapes(name, 0)
    params = dict(variables["params"])
    last = max((n for n in params if n.startswith("Dense_")), key=lambda n: int(n[6:]))
    assert params.pop(last)["kernel"].shape == (features.shape[-1], 7)
    assert set(headless["params"]) == set(params)


@pytest.mark.parametrize(
    ("shape", "kernel"),
    [
        ((2, 13, 3), (3, 3, 4)),
        ((2, 13, 8, 3), (3, 3, 3, 4)),
        ((2, 13, 8, 9, 3), (3, 3, 3, 3, 4)),
    ],
)
def test_simple_cnn_takes_signals_images_and_volumes(shape, kernel):
    model = models.make_model("simple_cnn", num_classes=5, widths=(4, 6), dense=())
    params = init(model, shape)
    assert params["Conv_0"]["kernel"].shape == kernel
    halved_twice = int(np.prod([n // 4 for n in shape[1:-1]]))
    assert params["Dense_0"]["kernel"].shape == (6 * halved_twice, 5)


def test_options_reach_the_network():
    model = models.make_model(
        "simple_cnn", num_classes=5, widths=(4,), dense=(7, 8), kernel_size=5
    )
    params = init(model, (1, 6, 6, 1))
    assert params["Conv_0"]["kernel"].shape == (5, 5, 1, 4)
    assert [params[f"Dense_{n}"]["bias"].size for n in range(3)] == [7, 8, 5]


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_DROPOUT)
def test_dropout_is_active_only_in_training(name):
    model = models.make_model(name, num_classes=3, dropout=0.5, **SMALL.get(name, {}))
    x = np.random.default_rng(0).standard_normal((2, 32, 32, 1), np.float32)
    shapes = jax.eval_shape(lambda: model.init(KEY, x, train=False))
    params = some(shapes.pop("params"))
    variables = {"params": params} | jax.tree.map(lambda s: np.ones(s.shape), shapes)

    @jax.jit
    def run(key):
        return [apply(model, variables, x, train, key) for train in (True, False)]

    (trained, tested), (trained_again, tested_again) = map(run, jax.random.split(KEY))
    np.testing.assert_array_equal(tested, tested_again)
    assert not np.array_equal(trained, trained_again)
    assert not np.array_equal(trained, tested)


@pytest.mark.parametrize(("name", "negative"), [("tanh", True), ("relu", False)])
def test_lenet_activation_is_a_choice(name, negative):
    """Seen from outside: what enters the last layer, by the sign of its values."""
    model = models.make_model("lenet5", num_classes=84, activation=name)
    x = np.random.default_rng(0).standard_normal((2, 16, 16, 1), np.float32)
    params = some(init(model, x.shape))
    params["Dense_2"] = {"kernel": np.eye(84, dtype=np.float32), "bias": np.zeros(84)}
    logits = jax.jit(lambda x: model.apply({"params": params}, x, train=False))(x)
    assert (logits.min() < 0) == negative


def test_every_initializer_makes_a_kernel():
    shape = (3, 2, 4, 5)
    kernels = jax.jit(
        lambda: {n: make_initializer(n)(KEY, shape) for n in INITIALIZERS}
    )
    for name, values in kernels().items():
        assert values.shape == shape
        assert np.isfinite(values).all()
        assert (np.std(values) > 0) == (name != "zeros")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lenet", {}, r"unknown model 'lenet'; did you mean 'lenet5'\?.*small_cnn"),
        ("simple_cnn", {"width": 3}, "'width'; did you mean 'widths'"),
        ("simple_cnn", {"activation": "relu"}, "option of model 'simple_cnn' 'activ"),
        ("lenet5", {"parent": None}, "'parent'"),
        ("lenet5", {"kernel_init": "he"}, "unknown kernel_init 'he'"),
        ("lenet5", {"kernel_init": "he_norml"}, "did you mean 'he_normal'"),
    ],
)
def test_refuses_unknown_names_with_the_nearest(name, options, message):
    with pytest.raises(ValueError, match=message):
        models.make_model(name, num_classes=10, **options)


def test_refuses_what_a_network_cannot_take():
    with pytest.raises(ValueError, match=r"2-D images.*\(1, 28, 1\)"):
        init(models.LeNet5(10), (1, 28, 1))
    with pytest.raises(ValueError, match=r"activation is 'sigmoid'.*tanh, relu"):
        init(models.LeNet5(10, activation="sigmoid"), (1, 28, 28, 1))
    with pytest.raises(ValueError, match=r"covers \(2, 2\).*\(1, 1\)"):
        init(models.SimpleCNN(10), (1, 3, 3, 1))
    with pytest.raises(ValueError, match="unknown kernel_init 'ones'"):
        make_initializer("ones")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*KINDS, *MORE_KINDS])
def test_value_and_gradient_lower_for_every_platform(name):
    options = {"dropout": 0.1} if name in WITH_DROPOUT else {}
    model = models.make_model(name, num_classes=10, **options)
    x, labels = jnp.zeros((4, 32, 32, 1)), jnp.zeros(4, int)
    shapes = jax.eval_shape(lambda: model.init(KEY, x, train=False))
    params = shapes.pop("params")

    def loss(params, key):
        statistics = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes)
        logits = apply(model, {"params": params, **statistics}, x, True, key)
        return ops.softmax_cross_entropy(logits, labels).mean()

    platforms = "cpu", "cuda", "tpu"
    with ops.backend("xla"):  # a program for CPUs with custom calls stays here
        exported = jax.export.export(
            jax.jit(jax.value_and_grad(loss)), platforms=platforms
        )(params, jax.eval_shape(lambda: KEY))
    assert exported.platforms == platforms
    value, *gradients = exported.out_avals
    assert value.shape == ()
    assert [g.shape for g in gradients] == [p.shape for p in jax.tree.leaves(params)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet5", "resnet20", "simple_cnn"])
def test_exported_with_a_symbolic_batch_it_serves_every_batch(name):
    model = models.make_model(name, num_classes=3, **SMALL.get(name, {}))
    shape = (32, 32, 1) if name == "lenet5" else (16, 16, 1)
    x = jnp.zeros((2, *shape))
    shapes = jax.eval_shape(lambda: model.init(KEY, x, train=False))
    params = some(shapes.pop("params"))
    statistics = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes)

    def loss(params, x):
        variables = {"params": params, **statistics}
        return jnp.square(apply(model, variables, x, True, KEY)).mean()

    batch = jax.ShapeDtypeStruct(
        jax.export.symbolic_shape(f"b, {', '.join(map(str, shape))}"), jnp.float32
    )
    step = jax.jit(jax.value_and_grad(loss))
    exported = jax.export.export(step)(params, batch)
    for count in (2, 3):
        x = jnp.asarray(np.random.default_rng(0).random((count, *shape)), jnp.float32)
        with ops.backend("xla"):
            expected = jax.jit(jax.value_and_grad(loss))(params, x)
        jax.tree.map(
            lambda a, e: np.testing.assert_allclose(a, e, rtol=2e-3, atol=2e-3),
            exported.call(params, x),
            expected,
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "vgg11"])
def test_large_networks_are_exported_with_a_symbolic_batch(name):
    model = models.make_model(name, num_classes=3)
    shapes = jax.eval_shape(lambda: model.init(KEY, jnp.zeros((1, 32, 32, 1)), False))
    batch = jax.ShapeDtypeStruct(jax.export.symbolic_shape("b, 32, 32, 1"), jnp.float32)

    def loss(params, statistics, x):
        variables = {"params": params, **statistics}
        return jnp.square(apply(model, variables, x, True, KEY)).mean()

    step = jax.jit(jax.value_and_grad(loss))
    params = shapes.pop("params")
    exported = jax.export.export(step)(params, shapes, batch)
    assert exported.in_avals[-1].shape == batch.shape
