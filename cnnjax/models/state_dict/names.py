"""The names that libraries use for the arrays of our networks.

``tables`` and ``mobile_tables`` have the names of the layers of each family.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from flax import linen as nn

from cnnjax.models.convnext import ConvNeXt
from cnnjax.models.densenet import DenseNet
from cnnjax.models.efficientnet import EfficientNetB0
from cnnjax.models.mobilenet import MobileNetV2
from cnnjax.models.mobilenet_v3 import MobileNetV3Large
from cnnjax.models.regnet import RegNetY
from cnnjax.models.resnet import ResNet
from cnnjax.models.state_dict import mobile_tables, tables
from cnnjax.models.state_dict.arrays import LEAVES, OURS
from cnnjax.models.vgg import VGG

TABLES: Mapping[type[nn.Module], Callable[[Any, set[str]], tables.Names]] = {
    ConvNeXt: tables.convnext,
    DenseNet: tables.densenet,
    EfficientNetB0: mobile_tables.efficientnet_b0,
    MobileNetV2: mobile_tables.mobilenet_v2,
    MobileNetV3Large: mobile_tables.mobilenet_v3,
    RegNetY: tables.regnet,
    ResNet: tables.resnet,
    VGG: tables.vgg,
}
"""The function that makes the tables from a network and the paths of its layers."""


class Naming(NamedTuple):
    """The names that one library uses for the arrays of a network.

    Attributes:
        library: "torchvision", "timm", or "cnnjax" for our own names.
        names: its names by ours, such as "conv1.weight" for "Conv_0.kernel".
        stem: our path of the first layer.
        head: our path of the last layer, even if the network has no head.
        head_there: the library's path of the head.
    """

    library: str
    names: dict[str, str]
    stem: str
    head: str
    head_there: str


def namings(model: nn.Module, names: Collection[str]) -> list[Naming]:
    """The namings of all libraries that have ``model``; our own names come last.

    Args:
        model: a network, even one that no library has.
        names: of its arrays, such as ``"Conv_0.kernel"``.
    """
    layers = {name.rpartition(".")[0] for name in names}
    result = []
    for kind, table in TABLES.items():
        known = table(model, layers) if isinstance(model, kind) else {}
        for library, there in known.items():
            arrays = {name: _rename(name, there) for name in names}
            stem, *_, head = there
            result.append(Naming(library, arrays, stem, head, there[head]))
    heads = sorted(layer for layer in layers if re.fullmatch(r"Dense_\d+", layer))
    head = max(heads, key=lambda layer: int(layer[6:]), default="")
    return [*result, Naming(OURS, {name: name for name in names}, "Conv_0", head, head)]


def _rename(name: str, there: Mapping[str, str]) -> str:
    """The library's name of an array; our name if the table lacks its layer."""
    layer, _, leaf = name.rpartition(".")
    if name in there:
        return there[name]
    return f"{there[layer]}.{LEAVES.get(leaf, leaf)}" if layer in there else name
