"""Networks of runs on disk: their arrays keep their names, shapes and initial values.

A change here makes old checkpoints unreadable, or new runs differ from old ones.
"""

import hashlib

import jax
import jax.numpy as jnp
import pytest

from cnnjax import models

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("name", "arrays", "digest"),
    [
        ("lenet5", 10, "078d688af051762f"),
        ("mobilenet_v2", 262, "17cb78adb0fedaab"),
        ("resnet18", 102, "24b760727f704c96"),
        ("resnet20", 107, "df1252cedee7f98e"),
        ("small_cnn", 8, "161db626436850f9"),
        ("vgg11", 18, "a92a1402ff94a58c"),
    ],
)
def test_names_and_shapes(name, arrays, digest):
    model = models.make_model(name, num_classes=10)
    x = jnp.zeros((1, 32, 32, 3))
    variables = jax.eval_shape(lambda: model.init(KEY, x, train=False))
    lines = [
        f"{jax.tree_util.keystr(path, simple=True, separator='/')} {leaf.shape}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(variables)
    ]
    assert len(lines) == arrays
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] == digest


@pytest.mark.slow
def test_initial_values():
    model = models.make_model("resnet20", num_classes=10)
    x = jnp.zeros((1, 32, 32, 3))
    params = jax.jit(lambda: model.init(KEY, x, train=False))()["params"]
    shortcut = params["BasicBlock_3"]["shortcut_conv"]["kernel"]
    assert float(shortcut[0, 0, 0, 0]) == pytest.approx(-0.51396143, rel=1e-6)
    assert float(params["Dense_0"]["kernel"][0, 0]) == pytest.approx(-0.2919996)
