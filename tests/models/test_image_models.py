"""The networks for images: published sizes, strides, batch statistics, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import models
from cnnjax.models.conv_norm import ConvNorm
from cnnjax.models.mobilenet import scaled
from cnnjax.models.resnet_blocks import BasicBlock
from cnnjax.models.vgg import VGG11

KEY = jax.random.key(0)


def shapes_of(model, shape):
    """Variables as shapes; nothing is computed."""
    return jax.eval_shape(lambda: model.init(KEY, jnp.zeros(shape), train=False))


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        # He et al. 2015, table 6, have 0.27, 0.46, 0.66, 0.85 and 1.7 million without
        # weights in the shortcuts (269,722 at 20 layers); these have 2,752 there.
        ("resnet20", {}, 269_722 + 2_752),
        ("resnet32", {}, 464_154 + 2_752),
        ("resnet44", {}, 658_586 + 2_752),
        ("resnet56", {}, 853_018 + 2_752),
        ("resnet110", {}, 1_727_962 + 2_752),
        # torchvision's with 1000 classes; the last layer is 990 outputs smaller.
        ("resnet18", {}, 11_689_512 - 990 * 513),
        ("resnet34", {}, 21_797_672 - 990 * 513),
        ("mobilenet_v2", {}, 3_504_872 - 990 * 1281),
        ("mobilenet_v2", {"stem": "cifar"}, 3_504_872 - 990 * 1281),
        # Keras's trainable parameters with alpha=0.5, less the last layer's.
        ("mobilenet_v2", {"multiplier": 0.5}, 1_968_680 - 1281 * 1000 + 1281 * 10),
        # torchvision's features, and a last layer of 512 to 10.
        ("vgg11", {}, 9_220_480 + 5_130),
        # Scale and bias in place of a bias: one more value a channel.
        ("vgg11", {"batch_norm": True}, 9_220_480 + 2_752 + 5_130),
    ],
)
def test_parameters_are_the_published_ones(name, options, parameters):
    model = models.make_model(name, num_classes=10, **options)
    assert count(shapes_of(model, (1, 64, 64, 3))["params"]) == parameters


@pytest.mark.parametrize(
    ("name", "stem", "before_the_mean"),
    [
        ("resnet20", "cifar", (16, 16, 64)),
        ("resnet18", "cifar", (8, 8, 512)),
        ("resnet18", "imagenet", (2, 2, 512)),
        ("mobilenet_v2", "cifar", (8, 8, 1280)),
        ("mobilenet_v2", "imagenet", (2, 2, 1280)),
        ("mobilenet_v3_large", "cifar", (8, 8, 960)),
        ("mobilenet_v3_small", "imagenet", (2, 2, 576)),
        ("efficientnet_b0", "cifar", (8, 8, 1280)),
        ("efficientnet_lite0", "imagenet", (2, 2, 1280)),
        ("densenet121", "cifar", (8, 8, 1024)),
        ("convnext_tiny", "cifar", (8, 8, 768)),
        ("regnet_y_400mf", "cifar", (8, 8, 440)),
        ("regnet_y_400mf", "imagenet", (2, 2, 440)),
    ],
)
def test_a_stem_decides_how_small_images_become(
    name, stem, before_the_mean, monkeypatch
):
    seen = []

    def mean(x):
        seen.append(x.shape[1:])
        return x.mean((1, 2))

    monkeypatch.setattr("cnnjax.ops.global_avg_pool", mean)
    shapes_of(models.make_model(name, num_classes=3, stem=stem), (1, 64, 64, 3))
    assert seen[-1] == before_the_mean  # gates take means before


def test_blocks_have_shortcuts_with_weights_only_where_the_shape_changes():
    params = shapes_of(models.make_model("resnet20", num_classes=3), (1, 32, 32, 3))
    blocks = {n: p for n, p in params["params"].items() if n.startswith("BasicBlock")}
    assert len(blocks) == 9
    weighted = [name for name, block in blocks.items() if "shortcut_conv" in block]
    assert weighted == ["BasicBlock_3", "BasicBlock_6"]


def test_a_block_whose_last_scale_is_zero_is_its_shortcut():
    block = BasicBlock(3, 1, ConvNorm(True, jax.nn.initializers.he_normal()))
    x = np.random.default_rng(0).standard_normal((2, 5, 4, 3), np.float32)
    variables = block.init(KEY, x)
    scale = variables["params"]["BatchNorm_1"]["scale"]
    variables["params"]["BatchNorm_1"]["scale"] = jnp.zeros_like(scale)
    y = block.apply(variables, x, mutable=["batch_stats"])[0]
    np.testing.assert_allclose(y, np.maximum(x, 0), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [("resnet20", {"blocks": (1, 1, 1)}), ("mobilenet_v2", {"multiplier": 0.1})],
)
def test_training_moves_the_running_moments(name, options):
    model = models.make_model(name, num_classes=3, **options)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 32, 32, 3), np.float32)
    variables = jax.tree.map(  # random ones of JAX take XLA long to compile
        lambda leaf: rng.random(leaf.shape, np.float32), shapes_of(model, x.shape)
    )
    before = variables["batch_stats"]
    run = jax.jit(lambda v: model.apply(v, x, train=True, mutable=["batch_stats"])[1])
    after = run(variables)["batch_stats"]
    same = jax.tree.map(lambda a, b: bool((a == b).all()), before, after)
    assert not any(jax.tree.leaves(same))


@pytest.mark.parametrize(
    ("width", "multiplier", "channels"),
    [(32, 1, 32), (24, 0.5, 16), (16, 0.35, 8), (24, 0.35, 8), (96, 1.4, 136)],
)
def test_scaled_widths_are_multiples_of_8(width, multiplier, channels):
    assert scaled(width, multiplier) == channels


@pytest.mark.parametrize(
    ("name", "options", "shape", "message"),
    [
        (
            "resnet18",
            {"stem": "mnist"},
            (1, 32, 32, 3),
            "unknown stem 'mnist'.*cifar, imag",
        ),
        (
            "resnet18",
            {"blocks": (1, 2)},
            (1, 32, 32, 3),
            r"\(1, 2\) and widths is \(64,",
        ),
        ("resnet20", {}, (1, 32, 3), r"\(1, 32, 3\), expected 2-D"),
        ("resnet18_1d", {}, (1, 8, 8, 3), r"\(1, 8, 8, 3\), expected 1-D signals of 3"),
        ("r3d_18", {}, (1, 8, 8, 3), r"\(1, 8, 8, 3\), expected 3-D volumes of 5"),
        ("resnet9", {}, (1, 7, 9, 3), r"\(1, 7, 9, 3\), expected images of 8x8 or la"),
        (
            "convnext_tiny",
            {"blocks": (1, 2)},
            (1, 32, 32, 3),
            r"blocks is \(1, 2\) and widths is \(96,",
        ),
        (
            "regnet_y_400mf",
            {"group_width": 7},
            (1, 32, 32, 3),
            r"expected multiples of group_width, 7",
        ),
        (
            "mobilenet_v3_small",
            {"multiplier": 0},
            (1, 32, 32, 3),
            "multiplier is 0.0, expected more than 0",
        ),
        ("vgg11", {}, (1, 28, 28, 1), r"\(1, 28, 28, 1\).*32x32 or larger"),
        ("mobilenet_v2", {}, (1, 32, 3), r"\(1, 32, 3\), expected 2-D"),
        (
            "mobilenet_v2",
            {"multiplier": 0},
            (1, 32, 32, 3),
            "multiplier is 0.0, expected more than 0",
        ),
    ],
)
def test_refuses_with_values(name, options, shape, message):
    with pytest.raises(ValueError, match=message):
        shapes_of(models.make_model(name, num_classes=10, **options), shape)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "vgg11"])
def test_logits_are_float32_whatever_comes_before(name):
    model = models.make_model(name, num_classes=3, dtype=jnp.bfloat16)
    x = jnp.zeros((1, 32, 32, 3))
    run = jax.eval_shape(
        lambda: model.init_with_output(
            KEY, x, train=False, capture_intermediates=True, mutable=True
        )
    )
    inner = run[1]["intermediates"]
    logits = inner.pop("__call__") + inner.pop("Dense_0")["__call__"]
    assert {y.dtype.name for y in logits} == {"float32"}
    assert {y.dtype.name for y in jax.tree.leaves(inner)} == {"bfloat16"}


def test_vgg_has_no_bias_where_it_has_batch_normalization():
    params = shapes_of(VGG11(10, batch_norm=True), (1, 32, 32, 3))["params"]
    assert set(params["Conv_0"]) == {"kernel"}
    assert set(params["BatchNorm_7"]) == {"scale", "bias"}
