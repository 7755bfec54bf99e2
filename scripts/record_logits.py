#!/usr/bin/env python3
"""Records the logits of torchvision's and timm's networks, for the tests of ours.

python scripts/record_logits.py tests/models/state_dict/logits

It installs PyTorch, torchvision and timm in a temporary environment (several GB), gives
each network the weights of ``tests/support/weights/recipe.py``, and writes the names
and shapes of its state dict, and its logits. ``--here`` takes the environment that runs
the script instead.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

PACKAGES = ("torch==2.14.1", "torchvision==0.29.1", "numpy", "pyyaml", "safetensors")
TIMM = "timm==1.0.31"

NETWORKS = {
    "resnet18": ("torchvision", "resnet18"),
    "resnet50": ("torchvision", "resnet50"),
    "resnet50d": ("timm", "resnet50d"),
    "seresnet50": ("timm", "seresnet50"),
    "resnext50_32x4d": ("torchvision", "resnext50_32x4d"),
    "r3d_18": ("torchvision", "r3d_18"),
    "vgg11_bn": ("torchvision", "vgg11_bn"),
    "mobilenet_v2": ("torchvision", "mobilenet_v2"),
    "mobilenet_v2-timm": ("timm", "mobilenetv2_100"),
    "mobilenet_v3_large": ("torchvision", "mobilenet_v3_large"),
    "mobilenet_v3_small-timm": ("timm", "mobilenetv3_small_100"),
    "densenet121": ("torchvision", "densenet121"),
    "efficientnet_b0": ("torchvision", "efficientnet_b0"),
    "efficientnet_b0-timm": ("timm", "efficientnet_b0"),
    "efficientnet_lite0": ("timm", "tf_efficientnet_lite0"),
    "convnext_tiny": ("torchvision", "convnext_tiny"),
    "convnext_tiny-timm": ("timm", "convnext_tiny"),
    "regnet_y_400mf": ("torchvision", "regnet_y_400mf"),
    "regnet_y_400mf-timm": ("timm", "regnety_004"),
}
"""Library and name there of each recorded network, by ours."""

CLASSES = 10


def main() -> None:
    """Runs this script in an environment of its own, or records."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--here", action="store_true")
    args = parser.parse_args()
    if args.here:
        for ours, (library, name) in NETWORKS.items():
            record(args.folder, ours, library, name)
        return
    with tempfile.TemporaryDirectory() as folder:
        python = make_environment(folder)
        subprocess.run([python, __file__, str(args.folder), "--here"], check=True)


def make_environment(folder: str) -> str:
    """Installs the libraries in a new environment, and returns its interpreter."""
    venv.create(folder, with_pip=True)
    install = [f"{folder}/bin/python", "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, *PACKAGES], check=True)
    subprocess.run([*install, "--no-deps", TIMM], check=True)
    return f"{folder}/bin/python"


def record(folder: Path, ours: str, library: str, name: str) -> None:
    """Writes names, shapes and logits of one network."""
    import torch

    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.support.weights.recipe import make_array, make_images

    network = make_network(library, name)
    shapes = {
        key: list(tensor.shape)
        for key, tensor in network.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    for key, tensor in network.state_dict().items():
        if key in shapes:
            tensor.copy_(torch.from_numpy(make_array(key, shapes[key])))
    size = [2, 3, 8, 32, 32] if name == "r3d_18" else [2, 3, 64, 64]
    with torch.no_grad():
        logits = network.eval()(torch.from_numpy(make_images(size)))
    content = {
        "library": library,
        "images": size,
        "logits": logits.tolist(),
        "shapes": shapes,
    }
    (folder / f"{ours}.json").write_text(json.dumps(content) + "\n")


def make_network(library: str, name: str):
    """A network of torchvision or timm with few classes."""
    if library == "timm":
        import timm

        return timm.create_model(name, num_classes=CLASSES)
    import torchvision

    return torchvision.models.get_model(name, num_classes=CLASSES)


if __name__ == "__main__":
    main()
