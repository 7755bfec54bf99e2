"""The recorder of operations against networks whose operations are known."""

import jax
import jax.numpy as jnp

from cnnjax import layers as nn
from cnnjax import ops
from cnnjax.benchmark.calls import record_calls


class Block(nn.Module):
    """A convolution with ReLU, or a half that calls itself."""

    @nn.compact
    def __call__(self, x):
        return nn.max_pool(nn.Conv(4, (3, 2)).and_relu(x), (2, 2), (2, 2))


class Net(nn.Module):
    """Two blocks, one of them rematerialized, and a dense layer."""

    @nn.compact
    def __call__(self, x):
        x = nn.remat(Block)(name="again")(Block(name="once")(x))
        return nn.Dense(3)(x.reshape(len(x), -1))


def recorded(function, *arguments):
    with record_calls() as calls:
        jax.eval_shape(function, *arguments)
    return [("/".join(c.path), c.function.__name__) for c in calls], calls


def make_loss():
    model, x = Net(), jnp.ones((2, 8, 6, 3))
    params = jax.eval_shape(model.init, jax.random.key(0), x)
    return (lambda params, x: model.apply(params, x).sum()), params, x


EXPECTED = [
    ("once/Conv_0", "biased_relu"),
    ("once", "max_and_which"),
    ("again/Conv_0", "biased_relu"),
    ("again", "max_and_which"),
    ("Dense_0", "matmul"),
    ("Dense_0", "add_bias"),
]


def test_each_call_has_the_path_of_its_module():
    loss, params, x = make_loss()
    names, calls = recorded(loss, params, x)
    assert names == EXPECTED
    assert calls[0].module == "Conv"
    assert calls[2].arrays["x"].shape == (2, 4, 3, 4)
    assert calls[2].arrays["kernel"].shape == (3, 2, 4, 4)


def test_the_backward_pass_and_further_traces_add_nothing():
    loss, params, x = make_loss()

    def twice(params, x):
        return jax.jit(jax.grad(loss))(params, x), loss(params, x)

    assert recorded(jax.jit(twice), params, x)[0] == EXPECTED
    assert recorded(jax.jit(twice), params, x)[0] == EXPECTED  # no cache hides them


def test_a_call_can_be_repeated_on_other_values():
    x, w = jnp.ones((2, 3)), jnp.ones((3, 4))

    class Product(nn.Module):
        def __call__(self, x):
            return ops.dense(x, w)

    _, calls = recorded(Product().apply, {}, x)
    assert (calls[0].apply(2 * x, 3 * w) == 18).all()


def test_nothing_is_recorded_outside():
    with record_calls() as calls:
        pass
    jax.eval_shape(*make_loss())
    assert calls == []
