"""The weights of every network, written to a file and read again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.models import load_weights, make_model, save_weights
from cnnjax.models.catalog import CATALOG


@pytest.mark.slow
@pytest.mark.parametrize("name", CATALOG)
@pytest.mark.parametrize("format", ["safetensors", "torch"])
def test_weights_come_back_bit_for_bit(tmp_path, name, format):
    entry, random = CATALOG[name], np.random.default_rng(0)
    model = make_model(name, num_classes=entry.num_classes)
    images = jax.ShapeDtypeStruct((1, *entry.shape), jnp.float32)
    shapes = jax.eval_shape(
        lambda x: model.init(jax.random.key(0), x, train=False), images
    )
    variables = jax.tree.map(
        lambda leaf: random.standard_normal(leaf.shape, leaf.dtype), shapes
    )
    file = tmp_path / "weights"
    save_weights(model, variables, file, format)
    read = load_weights(
        name, file, num_classes=entry.num_classes, image_shape=entry.shape
    )
    file.unlink()  # up to 570 MB, which pytest would keep
    jax.tree.map(np.testing.assert_array_equal, read, dict(variables))
