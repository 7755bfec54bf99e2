"""One network architecture per file; ``MODELS`` maps names in configs to them.

A network has the field ``dtype: DTypeLike | None = None`` and passes it to every layer
except the last, which uses the dtype of its weights, so that logits are float32 in any
case. ``dtype="bfloat16"`` means mixed precision; ``None`` computes in the dtype of
images and weights, such as float64.
"""

from collections.abc import Mapping
from typing import Any

from cnnjax import layers as nn
from cnnjax.config.import_path import is_import_path
from cnnjax.config.values import FROM_PYTHON
from cnnjax.errors import unknown_name
from cnnjax.models.cnn import SimpleCNN, SmallCNN
from cnnjax.models.lenet import LeNet5
from cnnjax.models.mobilenet import MobileNetV2
from cnnjax.models.options import check_options
from cnnjax.models.own import make_own_model
from cnnjax.models.resnet import (
    ResNet,
    ResNet18,
    ResNet20,
    ResNet32,
    ResNet34,
    ResNet44,
    ResNet56,
    ResNet110,
)
from cnnjax.models.vgg import VGG11

MODELS: Mapping[str, type[nn.Module]] = {
    "lenet5": LeNet5,
    "mobilenet_v2": MobileNetV2,
    "resnet18": ResNet18,
    "resnet20": ResNet20,
    "resnet32": ResNet32,
    "resnet34": ResNet34,
    "resnet44": ResNet44,
    "resnet56": ResNet56,
    "resnet110": ResNet110,
    "simple_cnn": SimpleCNN,
    "small_cnn": SmallCNN,
    "vgg11": VGG11,
}


def make_model(name: str, *, num_classes: int, **options: Any) -> nn.Module:
    """Makes the network called ``name``.

    Args:
        name: a key of ``MODELS``, or an import path of your own network.
        num_classes: number of outputs.
        options: other fields of the network's class.

    Raises:
        ValueError: an unknown name or option, or an invalid value of an option.
    """
    if name == FROM_PYTHON:
        raise ValueError(
            "the run was trained on a module that a Python program passed to"
            " cnnjax.train; pass the same module again as the argument model"
        )
    if is_import_path(name):
        return make_own_model(name, num_classes=num_classes, **options)
    if name not in MODELS:
        raise ValueError(
            f"{unknown_name('model', name, MODELS)}; for a network of your own, give"
            " 'module:attribute' instead of adding it to MODELS"
        )
    options = check_options(name, MODELS[name], options)
    return MODELS[name](num_classes=num_classes, **options)


__all__ = [
    "MODELS",
    "VGG11",
    "LeNet5",
    "MobileNetV2",
    "ResNet",
    "SimpleCNN",
    "SmallCNN",
    "make_model",
]
