"""What Flax shows of a network, and does to it, is the same with these layers."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import linen

from cnnjax import layers
from cnnjax.ops.backend import current_backend
from tests.support.layers.flax_likeness import KEY, assert_same_tree

X = jnp.linspace(-1, 1, 2 * 5 * 4 * 8).reshape(2, 5, 4, 8)
KEYS = {"params": KEY, "dropout": jax.random.key(1)}
WIDE = {"width": 300}


def network(nn):
    """Each layer once, the first convolution twice."""

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            conv = nn.Conv(8, (3, 3))
            x = nn.BatchNorm(use_running_average=False)(conv(conv(x)))
            x = nn.ConvTranspose(4, (3, 3), padding="CIRCULAR")(x)
            x = nn.GroupNorm(2)(nn.LayerNorm()(x))
            return nn.Dense(3)(nn.Dropout(0.5, deterministic=False)(x))

    return Net()


def table(nn, **options):
    return network(nn).tabulate(KEYS, X, console_kwargs=WIDE, **options)


@pytest.mark.parametrize("repeated", [False, True])
def test_the_table_is_that_of_flax(repeated):
    ours, theirs = (table(nn, show_repeated=repeated) for nn in (layers, linen))
    assert ours == theirs


@pytest.mark.slow
def test_the_table_counts_the_arithmetic_of_repeated_layers_as_xla_does():
    def rows(text):
        cells = [[c.strip() for c in row.split("│")] for row in text.splitlines()]
        return {row[1]: (row[5], row[6]) for row in cells if len(row) > 6 and row[5]}

    options = {"compute_flops": True, "compute_vjp_flops": True, "show_repeated": True}
    ours = rows(table(layers, **options))
    theirs = rows(table(linen, **options))
    assert ours.keys() == theirs.keys()
    assert "Conv_0" in ours
    for name in ("Conv_0", "ConvTranspose_0", "Dense_0"):
        for count, expected in zip(ours[name], theirs[name], strict=True):
            assert abs(int(count) - int(expected)) <= 0.02 * int(expected), name
    assert current_backend() != "xla"


@pytest.mark.slow
@pytest.mark.parametrize("chosen", [True, lambda module, name: True])
def test_captures_what_flax_captures(chosen):
    ours, theirs = (
        network(nn).init_with_output(KEYS, X, capture_intermediates=chosen)[1]
        for nn in (layers, linen)
    )
    assert_same_tree(ours["intermediates"], theirs["intermediates"], "float16")


@pytest.mark.parametrize("factor", [1, 2])
def test_intercepts_each_layer_once_as_flax_does(factor):
    def run(nn):
        calls = []

        def interceptor(call, args, kwargs, context):
            calls.append((context.module.name, context.method_name))
            return call(*(factor * x for x in args), **kwargs)

        with nn.intercept_methods(interceptor):
            y, _ = network(nn).init_with_output(KEYS, X)
        return calls, y

    (ours, y), (theirs, expected) = run(layers), run(linen)
    assert ours == theirs
    assert_same_tree(y, expected, "float16")


@pytest.mark.parametrize("name", ["Conv", "ConvTranspose", "Dense"])
def test_what_flax_computes_counts_as_one_call(name):
    """Complex numbers go to Flax's code, not through its wrapped method."""
    options = {} if name == "Dense" else {"kernel_size": (3, 3)}
    calls = []

    def interceptor(call, args, kwargs, context):
        calls.append(context.method_name)
        return call(*args, **kwargs)

    layer = getattr(layers, name)(4, **options)
    variables = layer.init(KEY, X * 1j)
    with layers.intercept_methods(interceptor):
        layer.apply(variables, X * 1j)
    assert calls == ["__call__"]


def test_a_layer_and_the_same_with_relu_share_their_parameters():
    class Twice(layers.Module):
        @layers.compact
        def __call__(self, x):
            conv = layers.Conv(8, (3, 3), use_bias=False)
            norm = layers.BatchNorm(use_running_average=False)
            return norm.and_relu(norm(conv.and_relu(conv(x))))

    tree = jax.eval_shape(Twice().init, KEY, X)
    assert list(tree["params"]) == ["BatchNorm_0", "Conv_0"]
    options = {"compute_flops": True, "show_repeated": True, "console_kwargs": WIDE}
    text = layers.tabulate(Twice(), KEY, **options)(X)
    assert "and_relu" in text


TRANSFORMS = {
    "remat": lambda nn, layer: nn.remat(layer),
    "jit": lambda nn, layer: nn.jit(layer),
    "vmap": lambda nn, layer: nn.vmap(
        layer,
        variable_axes={"params": 0, "batch_stats": 0},
        split_rngs={"params": True},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transformed_layers_are_those_of_flax(name):
    def run(nn):
        conv = TRANSFORMS[name](nn, nn.Conv)(8, (3, 3))
        norm = TRANSFORMS[name](nn, nn.BatchNorm)(use_running_average=False)
        x = jnp.stack([X, X + 1])
        both = nn.Sequential([conv, norm])
        y, variables = both.init_with_output(KEY, x)
        bound = both.bind(variables, mutable=["batch_stats"])
        return (
            y,
            variables,
            bound(x),
            both.clone().apply(variables, x, mutable=["batch_stats"]),
        )

    assert_same_tree(run(layers), run(linen), "float16")


WRAPPERS = {
    "scan": lambda nn, block: nn.scan(
        block,
        variable_axes={"params": 0, "batch_stats": 0, "intermediates": 0},
        split_rngs={"params": True},
        length=3,
    ),
    "remat": lambda nn, block: nn.remat(block),
    "named_call": lambda nn, block: block,  # of a method, below
}


def wrapped_network(nn, name):
    """A block of layers inside of a transformation of Flax."""

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            return self.body(x), None

        def body(self, x):
            x = nn.BatchNorm(use_running_average=False)(nn.Conv(8, (3, 3))(x))
            return nn.max_pool(x, (3, 3), (1, 1), "SAME")

        if name == "named_call":
            body = nn.named_call(body)

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x, _ = WRAPPERS[name](nn, Block)()(x, None)
            return nn.Dense(3)(x)

    return Net()


@pytest.mark.parametrize("name", WRAPPERS)
def test_the_table_of_a_wrapped_block_is_that_of_flax(name):
    ours, theirs = (
        wrapped_network(nn, name).tabulate(KEY, X, console_kwargs=WIDE)
        for nn in (layers, linen)
    )
    assert "BatchNorm_0" in ours
    assert ours == theirs


@pytest.mark.slow
@pytest.mark.parametrize("name", WRAPPERS)
def test_captures_in_a_wrapped_block_what_flax_captures(name):
    ours, theirs = (
        wrapped_network(nn, name).init_with_output(KEY, X, capture_intermediates=True)
        for nn in (layers, linen)
    )
    assert ours[1]["intermediates"]
    assert_same_tree(ours, theirs, "float16")


def test_scopes_are_shared_as_by_flax():
    def run(nn):
        class Outer(nn.Module):
            inner: Any

            def setup(self):
                nn.share_scope(self, self.inner)

            def __call__(self, x):
                return self.inner(x)

        return Outer(nn.Conv(8, (3, 3))).init_with_output(KEY, X)

    assert_same_tree(run(layers), run(linen), "float16")
