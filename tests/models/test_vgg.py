"""VGG with the paper's dense layers, and their input."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import models
from cnnjax.models.vgg import mean_parts


def areas(n, i):
    return slice(i * n // 7, math.ceil((i + 1) * n / 7))


@pytest.mark.parametrize("size", [(7, 7), (1, 2), (5, 9), (14, 21), (8, 30)])
def test_parts_are_the_means_of_their_pixels(size):
    x = np.random.default_rng(0).standard_normal((2, *size, 3), np.float32)
    y = mean_parts(x, 7)
    assert y.shape == (2, 7, 7, 3)
    rows, columns = ([areas(n, i) for i in range(7)] for n in size)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            part = x[:, row, column].mean((1, 2))
            np.testing.assert_allclose(y[:, i, j], part, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "parameters"),
    [({}, 132_863_336), ({"batch_norm": True}, 132_863_336 + 2_752)],
)
def test_dense_layers_make_vgg11_the_published_one(options, parameters):
    options["dense"] = (4096, 4096)
    model = models.make_model("vgg11", num_classes=1000, **options)
    x = jnp.zeros((1, 32, 32, 3))
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), x, train=False))
    assert sum(p.size for p in jax.tree.leaves(shapes["params"])) == parameters


def test_refuses_another_number_of_stages():
    model = models.make_model("vgg13", num_classes=3, blocks=(1, 1))
    with pytest.raises(ValueError, match=r"blocks is \(1, 1\).*per stage in each: 5"):
        model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False)
