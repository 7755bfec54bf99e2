"""The count of operations against the formula by hand."""

import jax
import jax.numpy as jnp
import pytest

from cnnjax import layers as nn
from cnnjax.benchmark.flops import count_forward, count_training
from cnnjax.models import make_model


def count(model, shape):
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    init = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros(shape), False)
    )
    return count_forward(model, init, x)


class Every(nn.Module):
    """A strided, a grouped and a dense product."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.relu(nn.Conv(6, (3, 2), (2, 1), padding="VALID")(x))
        x = nn.Conv(4, (1, 3), feature_group_count=2)(x)
        return nn.Dense(3)(nn.max_pool(x, (2, 2)).reshape(len(x), -1))


def test_each_product_is_two_operations_a_term():
    strided = 2 * (5 * 4 * 7 * 6) * (3 * 2 * 3)
    grouped = 2 * (5 * 4 * 7 * 4) * (1 * 3 * 3)
    dense = 2 * (5 * 3) * (3 * 6 * 4)
    assert count(Every(), (5, 9, 8, 3)) == [strided, grouped, dense]


def test_training_has_two_gradients_but_not_that_of_the_images():
    assert count_training([10, 4, 3]) == 3 * 17 - 10


@pytest.mark.parametrize(
    ("name", "image", "millions"),
    [
        # Published as multiplications with additions, without batch normalization.
        ("resnet20", (32, 32, 3), 40.8),  # 40.6 without weights in the shortcuts
        ("resnet18", (224, 224, 3), 1814),
        ("mobilenet_v2", (224, 224, 3), 300),
    ],
)
def test_networks_take_what_their_papers_say(name, image, millions):
    found = sum(count(make_model(name, num_classes=1000), (1, *image))) / 2e6
    assert found == pytest.approx(millions, rel=0.01)
