"""The sizes of all networks against those that their publishers state."""

import pytest

from cnnjax.benchmark.network_size import published_size
from cnnjax.models import MODELS
from cnnjax.models.catalog import CATALOG

# Parameters, and billions of multiply-adds of one image. Sources: the documentation of
# torchvision 0.29 ("num_params" and "_ops" of the weights), and timm's results table.
PUBLISHED = {
    "convnext_tiny": (28_589_128, 4.456),
    "densenet121": (7_978_856, 2.834),
    "efficientnet_b0": (5_288_548, 0.386),
    "efficientnet_lite0": (4_652_008, 0.385),
    "mobilenet_v2": (3_504_872, 0.301),
    "mobilenet_v3_large": (5_483_032, 0.217),
    "mobilenet_v3_small": (2_542_856, 0.057),
    "r3d_18": (33_371_472, 40.697),
    "regnet_y_400mf": (4_344_144, 0.402),
    "resnet18": (11_689_512, 1.814),
    "resnet18d": (11_708_744, 2.06),
    "resnet34": (21_797_672, 3.664),
    "resnet50": (25_557_032, 4.089),
    "resnet50d": (25_576_264, 4.35),
    "resnet9": (6_573_120, 0.379),
    "resnet101": (44_549_160, 7.801),
    "resnet152": (60_192_808, 11.514),
    "resnext50_32x4d": (25_028_904, 4.23),
    "seresnet50": (28_088_024, 4.1),
    # Parameters: github.com/milesial/Pytorch-UNet with two classes, learned upsampling.
    "unet": (31_037_698, 54.61),
    "vgg11_bn": (132_868_840, 7.609),
    "vgg13": (133_047_848, 11.308),
    "vgg13_bn": (133_053_736, 11.308),
    "vgg16": (138_357_544, 15.47),
    "vgg16_bn": (138_365_992, 15.47),
    "vgg19": (143_667_240, 19.632),
    "vgg19_bn": (143_678_248, 19.632),
    # The paper's 36.5 million, of WRN-28-10 with 10 classes.
    "wide_resnet28_10": (36_479_194, 5.243),
    "wide_resnet50_2": (68_883_240, 11.398),
}
# Not published with this head, number of classes or input.
OWN = {
    "lenet5",
    "resnet18_1d",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
    "simple_cnn",
    "small_cnn",
    "vgg11",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_size_is_the_published_one(name):
    parameters, billions = PUBLISHED[name]
    size = published_size(name)
    assert size.parameters == parameters
    assert size.multiply_adds / 1e9 == pytest.approx(billions, rel=0.01)


def test_every_network_has_an_entry():
    assert list(CATALOG) == list(MODELS)
    assert set(PUBLISHED) == set(MODELS) - OWN
