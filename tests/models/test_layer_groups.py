"""The groups of layers, from the stem to the head."""

import jax.numpy as jnp
import pytest

from cnnjax import layers as nn
from cnnjax.models import make_model
from cnnjax.models.layer_groups import decay_factors, layer_groups

SMALL = {"widths": (8, 16), "blocks": (1, 1)}


def blocks(name, count):
    return [(f"{name}_{number}",) for number in range(count)]


STEM, HEAD = ("Conv_0", "BatchNorm_0"), ("Dense_0",)
CASES = [
    ("simple_cnn", {}, [("Conv_0",), ("Conv_1",), ("Dense_0",), ("Dense_1",)]),
    ("resnet18", SMALL, [STEM, *blocks("BasicBlock", 2), HEAD]),
    ("seresnet50", SMALL, [STEM, *blocks("Bottleneck", 2), HEAD]),
    ("regnet_y_400mf", SMALL, [STEM, *blocks("RegNetBlock", 2), HEAD]),
    (
        "convnext_tiny",
        SMALL,
        [
            ("Conv_0", "LayerNorm_0"),
            ("ConvNeXtBlock_0", "LayerNorm_1"),
            ("Conv_1",),
            ("ConvNeXtBlock_1", "LayerNorm_2"),
            HEAD,
        ],
    ),
    (
        "densenet121",
        {"blocks": (1, 1)},
        [
            STEM,
            ("DenseLayer_0", "BatchNorm_1"),
            ("Conv_1",),
            ("DenseLayer_1", "BatchNorm_2"),
            HEAD,
        ],
    ),
    (
        "efficientnet_lite0",
        {"remat": True},
        [STEM, *blocks("MBConv", 16), ("Conv_1", "BatchNorm_1"), HEAD],
    ),
    (
        "mobilenet_v3_small",
        {},
        [
            STEM,
            *blocks("MobileBlock", 11),
            ("Conv_1", "BatchNorm_1"),
            HEAD,
            ("Dense_1",),
        ],
    ),
    (
        "resnet9",
        {},
        [*((f"Conv_{n}", f"BatchNorm_{n}") for n in range(8)), HEAD],
    ),
]


@pytest.mark.parametrize(("name", "options", "expected"), CASES)
def test_a_network_of_the_catalog(name, options, expected):
    model = make_model(name, num_classes=3, **options)
    groups = layer_groups(model, (32, 32, 3))
    assert [group.layers for group in groups] == expected


class Block(nn.Module):
    """Two layers, the second by name first."""

    @nn.compact
    def __call__(self, x):
        return nn.Conv(2, (1, 1), name="a")(nn.Conv(2, (1, 1), name="b")(x))


class Stage(nn.Module):
    """Two blocks, the second by name first."""

    @nn.compact
    def __call__(self, x):
        return Block(name="block_2")(Block(name="block_10")(x))


class Own(nn.Module):
    """Called in another order than its names have; with a stage and a loose array."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(not train, name="early")(x)
        x = nn.Conv(2, (1, 1), name="z")(x)
        x = nn.remat(Stage)(name="stage")(x)
        x = nn.BatchNorm(not train, name="a")(x)
        scale = self.param("scale", nn.initializers.ones, (3,))
        return scale * nn.Dense(3, name="last")(x.mean((1, 2)))


def test_an_own_network_is_grouped_in_the_order_of_its_calls():
    groups = layer_groups(Own(), (4, 4, 2))
    assert [group.layers for group in groups] == [
        ("z",),
        ("stage.block_10",),
        ("stage.block_2", "a"),
        ("last",),
    ]
    assert groups[0].arrays == ("early.bias", "early.scale", "z.bias", "z.kernel")
    assert groups[-1].arrays == ("last.bias", "last.kernel", "scale")


def test_factors_fall_from_the_head_to_the_stem():
    assert decay_factors(0.5, 3) == [0.25, 0.5, 1]
    assert jnp.prod(jnp.array(decay_factors(1.0, 4))) == 1
