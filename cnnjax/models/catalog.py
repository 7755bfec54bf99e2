"""What is published about each network: its input, its paper, its weights."""

from typing import NamedTuple

IMAGENET = (224, 224, 3)


class Entry(NamedTuple):
    """One network.

    Attributes:
        paper: where it was published; an arXiv number if there is one.
        shape: the published input shape, ``(*spatial, channels)``.
        num_classes: the published number of classes.
        weights: libraries whose weights load into it, such as ``"torchvision"``.
    """

    paper: str
    shape: tuple[int, ...] = IMAGENET
    num_classes: int = 1000
    weights: tuple[str, ...] = ()


_BOTH = ("torchvision", "timm")
_RESNET, _VGG = "arXiv:1512.03385", "arXiv:1409.1556"
_CIFAR = Entry(_RESNET, (32, 32, 3), 10)

CATALOG = {
    "convnext_tiny": Entry("arXiv:2201.03545", weights=_BOTH),
    "densenet121": Entry("arXiv:1608.06993", weights=_BOTH),
    "efficientnet_b0": Entry("arXiv:1905.11946", weights=_BOTH),
    "efficientnet_lite0": Entry("Liu 2020", weights=("timm",)),
    "lenet5": Entry("LeCun et al. 1998", (28, 28, 1), 10),
    "mobilenet_v2": Entry("arXiv:1801.04381", weights=_BOTH),
    "mobilenet_v3_large": Entry("arXiv:1905.02244", weights=_BOTH),
    "mobilenet_v3_small": Entry("arXiv:1905.02244", weights=_BOTH),
    "r3d_18": Entry("arXiv:1711.11248", (16, 112, 112, 3), 400, ("torchvision",)),
    "regnet_y_400mf": Entry("arXiv:2003.13678", weights=_BOTH),
    "resnet9": Entry("Page 2018", (32, 32, 3), 10),
    "resnet18": Entry(_RESNET, weights=_BOTH),
    "resnet18_1d": Entry("arXiv:1611.06455", (1000, 1), 10),
    "resnet18d": Entry("arXiv:1812.01187", weights=("timm",)),
    "resnet20": _CIFAR,
    "resnet32": _CIFAR,
    "resnet34": Entry(_RESNET, weights=_BOTH),
    "resnet44": _CIFAR,
    "resnet50": Entry(_RESNET, weights=_BOTH),
    "resnet50d": Entry("arXiv:1812.01187", weights=("timm",)),
    "resnet56": _CIFAR,
    "resnet101": Entry(_RESNET, weights=_BOTH),
    "resnet110": _CIFAR,
    "resnet152": Entry(_RESNET, weights=_BOTH),
    "resnext50_32x4d": Entry("arXiv:1611.05431", weights=_BOTH),
    "seresnet50": Entry("arXiv:1709.01507", weights=("timm",)),
    "simple_cnn": Entry("", (28, 28, 1), 10),
    "small_cnn": Entry("", (28, 28, 1), 10),
    "unet": Entry("arXiv:1505.04597", (256, 256, 3), 2),
    "vgg11": Entry(_VGG),
    "vgg11_bn": Entry(_VGG, weights=_BOTH),
    "vgg13": Entry(_VGG, weights=_BOTH),
    "vgg13_bn": Entry(_VGG, weights=_BOTH),
    "vgg16": Entry(_VGG, weights=_BOTH),
    "vgg16_bn": Entry(_VGG, weights=_BOTH),
    "vgg19": Entry(_VGG, weights=_BOTH),
    "vgg19_bn": Entry(_VGG, weights=_BOTH),
    "wide_resnet28_10": Entry("arXiv:1605.07146", (32, 32, 3), 10),
    "wide_resnet50_2": Entry("arXiv:1605.07146", weights=_BOTH),
}
"""An entry for each network of ``MODELS``."""
