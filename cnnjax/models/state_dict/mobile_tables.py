"""What libraries call the layers of MobileNets and EfficientNets, see ``tables``.

Their blocks are inverted residuals of two or three convolutions: an expansion, which
some blocks lack, a depthwise convolution, and a projection to fewer channels.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from cnnjax.models import efficientnet, mobilenet
from cnnjax.models.state_dict.arrays import EFFICIENTNET_PYTORCH, TIMM, TORCHVISION
from cnnjax.models.state_dict.tables import Names, positions

TIMM_PARTS = {2: ("conv_dw", "conv_pw"), 3: ("conv_pw", "conv_dw", "conv_pwl")}
"""timm's names for the convolutions of a block, by their number."""

OTHER_PARTS = ("_expand_conv", "_depthwise_conv", "_project_conv")
"""The names in the package efficientnet-pytorch."""

TIMM_ENDS = ("conv_stem", "bn1", "conv_head", "bn2")


def mobilenet_v2(model: Any, layers: set[str]) -> Names:
    """torchvision numbers blocks consecutively, timm by stage."""
    vision: dict[str, str] = {}
    timm: dict[str, str] = {}
    places = [*positions([stage.blocks for stage in mobilenet.STAGES])]
    for number, (stage, index) in enumerate(places):
        block = f"InvertedResidual_{number}"
        timm |= _timm(block, layers, f"blocks.{stage}.{index}.")
        count = _convs(block, layers)
        there = f"features.{number + 1}.conv."
        for part in range(count):
            # The last one has no activation and is not in a Sequential with its norm.
            last = part == count - 1
            vision |= {
                f"{block}.Conv_{part}": f"{there}{part}{'' if last else '.0'}",
                f"{block}.BatchNorm_{part}": there
                + (f"{count}" if last else f"{part}.1"),
            }
    ends = _vision_ends(len(places))
    return {
        TORCHVISION: _whole(ends, vision, ["classifier.1"]),
        TIMM: _whole(TIMM_ENDS, timm, ["classifier"]),
    }


def mobilenet_v3(model: Any, layers: set[str]) -> Names:
    """timm's stages have blocks of one width; the last is a single convolution.

    The libraries' weights were trained with different epsilons of batch normalization.
    """
    vision: dict[str, str] = {}
    timm: dict[str, str] = {}
    stages = [len([*rows]) for _, rows in groupby(row.width for row in model.rows)]
    for number, (stage, index) in enumerate(positions(stages)):
        block = f"MobileBlock_{number}"
        vision |= _vision(block, layers, f"features.{number + 1}.block.")
        timm |= _timm(block, layers, f"blocks.{stage}.{index}.")
    ends = _vision_ends(sum(stages))
    last = f"blocks.{len(stages)}.0."
    timm_ends = (*TIMM_ENDS[:2], f"{last}conv", f"{last}bn1")
    if model.epsilon == 1e-5:
        return {TIMM: _whole(timm_ends, timm, ["conv_head", "classifier"])}
    return {TORCHVISION: _whole(ends, vision, ["classifier.0", "classifier.3"])}


def efficientnet_b0(model: Any, layers: set[str]) -> Names:
    """torchvision lacks Lite0."""
    vision: dict[str, str] = {}
    timm: dict[str, str] = {}
    other: dict[str, str] = {}
    stages = [stage.blocks for stage in efficientnet.STAGES]
    for number, (stage, index) in enumerate(positions(stages)):
        block = f"MBConv_{number}"
        vision |= _vision(block, layers, f"features.{stage + 1}.{index}.block.")
        timm |= _timm(block, layers, f"blocks.{stage}.{index}.")
        other |= _other(block, layers, f"_blocks.{number}.")
    names = {
        TORCHVISION: _whole(_vision_ends(len(stages)), vision, ["classifier.1"]),
        TIMM: _whole(TIMM_ENDS, timm, ["classifier"]),
        EFFICIENTNET_PYTORCH: _whole(
            ("_conv_stem", "_bn0", "_conv_head", "_bn1"), other, ["_fc"]
        ),
    }
    if model.lite:
        del names[TORCHVISION]
    return names


def _whole(
    ends: Sequence[str], blocks: dict[str, str], dense: Iterable[str]
) -> dict[str, str]:
    """A table: stem, blocks, the last convolution, dense layers."""
    stem = {"Conv_0": ends[0], "BatchNorm_0": ends[1]}
    last = {"Conv_1": ends[2], "BatchNorm_1": ends[3]}
    return {**stem, **blocks, **last, **{f"Dense_{n}": d for n, d in enumerate(dense)}}


def _vision_ends(blocks: int) -> tuple[str, ...]:
    last = f"features.{blocks + 1}."
    return "features.0.0", "features.0.1", f"{last}0", f"{last}1"


def _convs(block: str, layers: set[str]) -> int:
    return 3 if f"{block}.Conv_2" in layers else 2


def _vision(block: str, layers: set[str], there: str) -> dict[str, str]:
    """``0.0``, ``0.1``, ...: convolutions with norms; gates before the last one."""
    count, names = _convs(block, layers), {}
    gates = f"{block}.SqueezeExcite_0.Conv_"
    for part in range(count):
        place = part + (part == count - 1 and f"{gates}0" in layers)
        names[f"{block}.Conv_{part}"] = f"{there}{place}.0"
        names[f"{block}.BatchNorm_{part}"] = f"{there}{place}.1"
    for part in range(2):
        names[f"{gates}{part}"] = f"{there}{count - 1}.fc{part + 1}"
    return names


def _timm(block: str, layers: set[str], there: str) -> dict[str, str]:
    count, names = _convs(block, layers), {}
    for part in range(count):
        names[f"{block}.Conv_{part}"] = there + TIMM_PARTS[count][part]
        names[f"{block}.BatchNorm_{part}"] = f"{there}bn{part + 1}"
    for part, name in enumerate(("conv_reduce", "conv_expand")):
        names[f"{block}.SqueezeExcite_0.Conv_{part}"] = f"{there}se.{name}"
    return names


def _other(block: str, layers: set[str], there: str) -> dict[str, str]:
    count, names = _convs(block, layers), {}
    for part in range(count):
        name = part + 3 - count
        names[f"{block}.Conv_{part}"] = there + OTHER_PARTS[name]
        names[f"{block}.BatchNorm_{part}"] = f"{there}_bn{name}"
    for part, name in enumerate(("_se_reduce", "_se_expand")):
        names[f"{block}.SqueezeExcite_0.Conv_{part}"] = there + name
    return names
