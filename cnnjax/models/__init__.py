"""One network architecture per file; ``MODELS`` maps names in configs to them.

A network has the field ``dtype: DTypeLike | None = None`` and passes it to every layer
except the last, which uses the dtype of its weights, so logits are float32 in any case.
``dtype="bfloat16"`` means mixed precision; ``None`` computes in the dtype of images and
weights, such as float64. With ``num_classes=0``, a network returns the features before
its last layer.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnjax import layers as nn
from cnnjax.config.import_path import is_import_path
from cnnjax.config.values import FROM_PYTHON
from cnnjax.errors import unknown_name
from cnnjax.models import resnet, vgg
from cnnjax.models.cnn import SimpleCNN, SmallCNN
from cnnjax.models.convnext import ConvNeXtTiny
from cnnjax.models.densenet import DenseNet121
from cnnjax.models.efficientnet import EfficientNetB0, EfficientNetLite0
from cnnjax.models.lenet import LeNet5
from cnnjax.models.mobilenet import MobileNetV2
from cnnjax.models.mobilenet_v3 import MobileNetV3Large, MobileNetV3Small
from cnnjax.models.options import check_options
from cnnjax.models.own import make_own_model
from cnnjax.models.regnet import RegNetY400MF
from cnnjax.models.resnet import ResNet
from cnnjax.models.resnet9 import ResNet9
from cnnjax.models.state_dict import load_variables, save_weights, state_dict
from cnnjax.models.unet import UNet
from cnnjax.models.vgg import VGG
from cnnjax.models.wide_resnet import WideResNet28x10
from cnnjax.weights import hub

MODELS: Mapping[str, type[nn.Module]] = {
    "convnext_tiny": ConvNeXtTiny,
    "densenet121": DenseNet121,
    "efficientnet_b0": EfficientNetB0,
    "efficientnet_lite0": EfficientNetLite0,
    "lenet5": LeNet5,
    "mobilenet_v2": MobileNetV2,
    "mobilenet_v3_large": MobileNetV3Large,
    "mobilenet_v3_small": MobileNetV3Small,
    "r3d_18": resnet.ResNet3D18,
    "regnet_y_400mf": RegNetY400MF,
    "resnet9": ResNet9,
    "resnet18": resnet.ResNet18,
    "resnet18_1d": resnet.ResNet1D18,
    "resnet18d": resnet.ResNet18D,
    "resnet20": resnet.ResNet20,
    "resnet32": resnet.ResNet32,
    "resnet34": resnet.ResNet34,
    "resnet44": resnet.ResNet44,
    "resnet50": resnet.ResNet50,
    "resnet50d": resnet.ResNet50D,
    "resnet56": resnet.ResNet56,
    "resnet101": resnet.ResNet101,
    "resnet110": resnet.ResNet110,
    "resnet152": resnet.ResNet152,
    "resnext50_32x4d": resnet.ResNeXt50,
    "seresnet50": resnet.SEResNet50,
    "simple_cnn": SimpleCNN,
    "small_cnn": SmallCNN,
    "unet": UNet,
    "vgg11": vgg.VGG11,
    "vgg11_bn": vgg.VGG11BatchNorm,
    "vgg13": vgg.VGG13,
    "vgg13_bn": vgg.VGG13BatchNorm,
    "vgg16": vgg.VGG16,
    "vgg16_bn": vgg.VGG16BatchNorm,
    "vgg19": vgg.VGG19,
    "vgg19_bn": vgg.VGG19BatchNorm,
    "wide_resnet28_10": WideResNet28x10,
    "wide_resnet50_2": resnet.WideResNet50,
}


def make_model(name: str, *, num_classes: int, **options: Any) -> nn.Module:
    """Makes the network called ``name``.

    Args:
        name: a key of ``MODELS``, or an import path of your own network.
        num_classes: number of outputs; 0 gives the features before the last layer.
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


def load_weights(
    name: str,
    path: str | Path,
    *,
    num_classes: int = 1000,
    image_shape: tuple[int, ...] = (224, 224, 3),
    naming: str | None = None,
    seed: int = 0,
    **options: Any,
) -> dict[str, Any]:
    """Loads the variables of a network from a weights file.

    The file is in safetensors or PyTorch's format (see ``cnnjax.weights``), with the
    names of torchvision, timm or cnnjax. If the head in the file does not have
    ``num_classes`` outputs, the head is newly initialized, and a line on standard error
    says so. With one channel in ``image_shape``, the stem's filters are summed over
    their input channels.

    Args:
        name: a key of ``MODELS``, or an import path of your own network.
        path: the file, or ``"hf:OWNER/NAME"`` for one of the Hugging Face hub (see
            ``cnnjax.weights.hub``).
        num_classes: number of outputs; 0 leaves the head out.
        image_shape: ``(*spatial, channels)`` of an image.
        naming: the library whose names the file has, "torchvision", "timm" or "cnnjax";
            by default, the one that matches most names.
        seed: for a newly initialized head.
        options: other fields of the network's class.

    Returns:
        Variables for the module that ``make_model`` makes from the same arguments.

    Raises:
        WeightsError: a file that cannot be read, or arrays that do not match; the
            message lists all of them.
        ValueError: an unknown name or option.

    Example::

        >>> from cnnjax import models
        >>> variables = models.load_weights(  # doctest: +SKIP
        ...     "resnet18", "resnet18.pth"
        ... )
        >>> model = models.make_model("resnet18", num_classes=1000)
        >>> logits = model.apply(variables, images, train=False)  # doctest: +SKIP
    """
    model = make_model(name, num_classes=num_classes, **options)
    if hub.is_on_hub(path):
        path = hub.download(str(path)).path
    return load_variables(model, path, image_shape, naming, seed)


__all__ = [
    "MODELS",
    "VGG",
    "LeNet5",
    "MobileNetV2",
    "ResNet",
    "SimpleCNN",
    "SmallCNN",
    "UNet",
    "load_weights",
    "make_model",
    "save_weights",
    "state_dict",
]
