"""U-Net and WRN-28-10: sizes of all kinds, a reference, and refusals."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnnjax import models

KEY = jax.random.key(0)


def shapes(model, shape):
    """The logits and the variables as shapes; nothing is computed."""
    keys, x = {"params": KEY, "dropout": KEY}, jnp.zeros(shape)
    return jax.eval_shape(lambda: model.init_with_output(keys, x, train=True))


@pytest.mark.parametrize("shape", [(2, 35, 1), (2, 17, 24, 3), (2, 9, 8, 13, 2)])
@pytest.mark.parametrize("classes", [5, 0])
def test_unet_keeps_the_size_of_signals_images_and_volumes(shape, classes):
    model = models.make_model("unet", num_classes=classes, widths=(4, 6, 8, 10))
    logits, variables = shapes(model, shape)
    assert logits.shape == (*shape[:-1], classes or 4)
    assert logits.dtype == jnp.float32
    kernel = variables["params"]["ConvTranspose_0"]["kernel"]
    assert kernel.shape == (*[2] * (len(shape) - 2), 10, 8)
    assert ("Dense_0" in variables["params"]) == bool(classes)


def conv(x, parameters, padding="SAME"):
    dimensions = ("NHWC", "HWIO", "NHWC")
    kernel = parameters["kernel"]
    y = lax.conv_general_dilated(x, kernel, (1, 1), padding, None, None, dimensions)
    return y + parameters["bias"]


def double(x, kernel, bias):
    """Each pixel becomes a block of 2 x 2, times the kernel."""
    y = np.einsum("nhwi,abio->nhawbo", x, kernel)
    n, height, _, width, _, channels = y.shape
    return y.reshape(n, 2 * height, 2 * width, channels) + bias


def test_unet_on_odd_sizes_is_its_formula():
    """With two widths: down once, up once, zeros at the last row and column."""
    model = models.make_model("unet", num_classes=3, widths=(4, 5), batch_norm=False)
    x = np.random.default_rng(0).standard_normal((2, 7, 9, 2), np.float32)
    variables = model.init(KEY, x, train=False)
    layers = variables["params"]
    relu = jax.nn.relu
    skip = relu(conv(relu(conv(x, layers["Conv_0"])), layers["Conv_1"]))
    small = skip[:, :6, :8].reshape(2, 3, 2, 4, 2, 4).max((2, 4))
    small = relu(conv(relu(conv(small, layers["Conv_2"])), layers["Conv_3"]))
    # Flax's kernels of transposed convolutions are mirrored.
    kernel = layers["ConvTranspose_0"]["kernel"][::-1, ::-1]
    large = double(small, kernel, layers["ConvTranspose_0"]["bias"])
    large = np.pad(large, [(0, 0), (0, 1), (0, 1), (0, 0)])
    y = np.concatenate([skip, large], axis=-1)
    y = relu(conv(relu(conv(y, layers["Conv_4"])), layers["Conv_5"]))
    expected = y @ np.asarray(layers["Dense_0"]["kernel"]) + layers["Dense_0"]["bias"]
    found: Any = model.apply(variables, x, train=False)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_unet_says_how_large_images_must_be():
    model = models.make_model("unet", num_classes=3)
    with pytest.raises(ValueError, match="expected 16 or more pixels"):
        shapes(model, (1, 15, 64, 3))
    with pytest.raises(ValueError, match="widths is empty"):
        shapes(models.make_model("unet", num_classes=3, widths=()), (1, 16, 16, 3))


def test_wide_resnet_has_the_paper_s_parameters_for_cifar_100():
    model = models.make_model("wide_resnet28_10", num_classes=100)
    logits, variables = shapes(model, (1, 32, 32, 3))
    assert logits.shape == (1, 100)
    sizes = [leaf.size for leaf in jax.tree.leaves(variables["params"])]
    assert sum(sizes) == 36_536_884
