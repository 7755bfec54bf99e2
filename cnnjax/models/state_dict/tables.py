"""The names of torchvision and timm for layers, except those of mobile networks.

Each family has one function, which returns one table per library, from the first layer,
the stem, to the last, the head. A table may name layers that a network lacks, such as
the shortcuts of most blocks.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from cnnjax.models.state_dict.arrays import TIMM, TORCHVISION

Names = dict[str, dict[str, str]]
"""For each library, its layer names by ours, such as "conv1" for "Conv_0"."""


def resnet(model: Any, layers: set[str]) -> Names:
    """``layer1.0.conv1``, ... in both libraries; only timm has the variants."""
    names = _resnet_stem(model)
    kind = "Bottleneck" if model.bottleneck else "BasicBlock"
    # In torchvision's network for volumes, each convolution and its normalization are
    # a Sequential; in a ResNet-D, pooling comes before the shortcut's convolution.
    conv, norm = ("conv{}.0", "conv{}.1") if model.rank == 3 else ("conv{}", "bn{}")
    first = 1 if model.variant_d else 0
    for number, (stage, index) in enumerate(positions(model.blocks)):
        ours, theirs = f"{kind}_{number}.", f"layer{stage + 1}.{index}."
        names[f"{ours}shortcut_conv"] = f"{theirs}downsample.{first}"
        names[f"{ours}shortcut_norm"] = f"{theirs}downsample.{first + 1}"
        for layer in range(3):
            names[f"{ours}Conv_{layer}"] = theirs + conv.format(layer + 1)
            names[f"{ours}BatchNorm_{layer}"] = theirs + norm.format(layer + 1)
            gate = f"{ours}SqueezeExcite_0.Conv_{layer}"
            names[gate] = f"{theirs}se.fc{layer + 1}"
    names["Dense_0"] = "fc"
    if model.rank == 3:
        return {TORCHVISION: names}
    if model.variant_d or model.squeeze_excite:
        return {TIMM: names}
    return {TORCHVISION: names, TIMM: names}


def _resnet_stem(model: Any) -> dict[str, str]:
    if model.rank == 3:
        return {"Conv_0": "stem.0", "BatchNorm_0": "stem.1"}
    if not model.variant_d or model.stem == "cifar":
        return {"Conv_0": "conv1", "BatchNorm_0": "bn1"}
    names = ("conv1.0", "conv1.1", "conv1.3", "conv1.4", "conv1.6", "bn1")
    kinds = ("Conv", "BatchNorm")
    return {f"{kinds[n % 2]}_{n // 2}": name for n, name in enumerate(names)}


def vgg(model: Any, layers: set[str]) -> Names:
    """``features.N``, counted with ReLU and pooling; ``classifier.N`` with dropout.

    No library has a VGG without hidden dense layers.
    """
    if not model.dense:
        return {}
    names, place, number = {}, 0, 0
    for count in model.blocks:
        for _ in range(count):
            names[f"Conv_{number}"] = f"features.{place}"
            names[f"BatchNorm_{number}"] = f"features.{place + 1}"
            place += 3 if model.batch_norm else 2
            number += 1
        place += 1
    last = len(model.dense)
    dense = {f"Dense_{n}": f"classifier.{3 * n}" for n in range(last + 1)}
    timm = {f"Dense_{n}": f"pre_logits.fc{n + 1}" for n in range(last)}
    head = {f"Dense_{last}": "head.fc"}
    return {TORCHVISION: names | dense, TIMM: names | timm | head}


def densenet(model: Any, layers: set[str]) -> Names:
    """``features.denseblock1.denselayer1.conv1``, ... in both libraries."""
    names = {"Conv_0": "features.conv0", "BatchNorm_0": "features.norm0"}
    for stage in range(1, len(model.blocks)):
        names[f"BatchNorm_{stage}"] = f"features.transition{stage}.norm"
        names[f"Conv_{stage}"] = f"features.transition{stage}.conv"
    for number, (stage, index) in enumerate(positions(model.blocks)):
        theirs = f"features.denseblock{stage + 1}.denselayer{index + 1}."
        for layer in range(2):
            ours = f"DenseLayer_{number}."
            names[f"{ours}BatchNorm_{layer}"] = f"{theirs}norm{layer + 1}"
            names[f"{ours}Conv_{layer}"] = f"{theirs}conv{layer + 1}"
    last = len(model.blocks)
    names |= {f"BatchNorm_{last}": f"features.norm{last + 1}", "Dense_0": "classifier"}
    return {TORCHVISION: names, TIMM: names}


def convnext(model: Any, layers: set[str]) -> Names:
    """torchvision numbers each downsampling like a stage of its own."""
    vision = {"Conv_0": "features.0.0", "LayerNorm_0": "features.0.1"}
    timm = {"Conv_0": "stem.0", "LayerNorm_0": "stem.1"}
    for stage in range(1, len(model.blocks)):
        conv, norm = f"Conv_{stage}", f"LayerNorm_{stage}"
        there = f"features.{2 * stage}."
        vision |= {norm: f"{there}0", conv: f"{there}1"}
        there = f"stages.{stage}.downsample."
        timm |= {norm: f"{there}0", conv: f"{there}1"}
    for number, (stage, index) in enumerate(positions(model.blocks)):
        for ours, in_torchvision, in_timm in (
            ("Conv_0", "block.0", "conv_dw"),
            ("LayerNorm_0", "block.2", "norm"),
            ("Dense_0", "block.3", "mlp.fc1"),
            ("Dense_1", "block.5", "mlp.fc2"),
            ("layer_scale", "layer_scale", "gamma"),
        ):
            name = f"ConvNeXtBlock_{number}.{ours}"
            vision[name] = f"features.{2 * stage + 1}.{index}.{in_torchvision}"
            timm[name] = f"stages.{stage}.blocks.{index}.{in_timm}"
    norm = f"LayerNorm_{len(model.blocks)}"
    return {
        TORCHVISION: vision | {norm: "classifier.0", "Dense_0": "classifier.2"},
        TIMM: timm | {norm: "head.norm", "Dense_0": "head.fc"},
    }


def regnet(model: Any, layers: set[str]) -> Names:
    """torchvision names the parts of a block by letters, timm by numbers."""
    vision = {"Conv_0": "stem.0", "BatchNorm_0": "stem.1"}
    timm = {"Conv_0": "stem.conv", "BatchNorm_0": "stem.bn"}
    parts = [("shortcut_conv", "proj.0", "downsample.conv")]
    parts += [("shortcut_norm", "proj.1", "downsample.bn")]
    for layer, letter in enumerate("abc"):
        here = f"conv{layer + 1}."
        parts += [(f"Conv_{layer}", f"f.{letter}.0", f"{here}conv")]
        parts += [(f"BatchNorm_{layer}", f"f.{letter}.1", f"{here}bn")]
    for layer in range(2):
        gate = f"se.fc{layer + 1}"
        parts += [(f"SqueezeExcite_0.Conv_{layer}", f"f.{gate}", gate)]
    for number, (stage, index) in enumerate(positions(model.blocks)):
        place = f"trunk_output.block{stage + 1}.block{stage + 1}-{index}"
        for ours, in_torchvision, in_timm in parts:
            name = f"RegNetBlock_{number}.{ours}"
            vision[name] = f"{place}.{in_torchvision}"
            timm[name] = f"s{stage + 1}.b{index + 1}.{in_timm}"
    head = "Dense_0"
    return {TORCHVISION: vision | {head: "fc"}, TIMM: timm | {head: "head.fc"}}


def positions(blocks: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The stage of each block and its index there, from the sizes of the stages."""
    for stage, count in enumerate(blocks):
        for index in range(count):
            yield stage, index
