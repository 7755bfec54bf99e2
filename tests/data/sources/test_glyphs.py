"""The made-up signals: the same each time, easy for a CNN, hard for a linear model."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnnjax.data import train_batches
from cnnjax.data.sources.glyphs import load_glyphs


@pytest.fixture(scope="module")
def glyphs():
    return load_glyphs()


def test_glyphs_are_the_same_each_time(glyphs):
    assert glyphs.test is not None
    assert glyphs.train.images.shape == (4000, 40, 1)
    assert glyphs.test.images.shape == (1000, 40, 1)
    assert glyphs.train.images.dtype == np.float32
    assert np.bincount(glyphs.test.labels).tolist() == [100] * 10
    # Rounded, since other processors may round the last bit in another way.
    signals = np.round(glyphs.train.images, 2) + 0.0
    digest = hashlib.sha256(signals.astype("<f4").tobytes()).hexdigest()
    np.testing.assert_array_equal(signals, np.round(load_glyphs().train.images, 2))
    assert digest.startswith("f1d73e1d95a5")


def test_linear_model_fails(glyphs):
    (x, y), (test_x, test_y) = (
        (np.insert(split.images[..., 0], 0, 1, axis=1), split.labels)
        for split in (glyphs.train, glyphs.test)
    )
    weights = np.linalg.lstsq(x, np.eye(10)[y], rcond=None)[0]
    assert np.mean(np.argmax(test_x @ weights, axis=1) == test_y) < 0.5


@pytest.mark.slow
def test_small_cnn_succeeds(glyphs):
    def logits(params, x):
        for kernel in params[:-1]:
            dims = ("NWC", "WIO", "NWC")
            x = jax.lax.conv_general_dilated(
                x, kernel, (2,), "SAME", dimension_numbers=dims
            )
            x = jax.nn.relu(x)
        return x.reshape(len(x), -1) @ params[-1]

    def loss(params, batch):
        losses = optax.softmax_cross_entropy_with_integer_labels
        return losses(logits(params, batch.images), batch.labels).mean()

    @jax.jit
    def step(params, state, batch):
        updates, state = optimizer.update(jax.grad(loss)(params, batch), state)
        return optax.apply_updates(params, updates), state

    shapes = (5, 1, 24), (5, 24, 32), (5, 32, 32), (160, 10)
    keys = jax.random.split(jax.random.key(0), 4)
    params = [
        jax.random.normal(key, shape) * np.sqrt(2 / np.prod(shape[:-1]))
        for key, shape in zip(keys, shapes, strict=True)
    ]
    optimizer = optax.adam(optax.cosine_decay_schedule(5e-3, 700))
    state = optimizer.init(params)
    for batch in train_batches(glyphs.train, 128, seed=0, num_steps=700):
        params, state = step(params, state, batch)
    predicted = jnp.argmax(logits(params, glyphs.test.images), axis=1)
    assert np.mean(predicted == glyphs.test.labels) > 0.9
