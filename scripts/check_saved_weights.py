#!/usr/bin/env python3
"""Checks that torchvision's networks load the weights that cnnjax saves.

python scripts/check_saved_weights.py

For each torchvision network in the tests, it saves weights in both formats. PyTorch, in
a temporary environment (several GB) or in that of the interpreter ``--python=PATH``,
must load them without missing or unexpected names, and its network must give the logits
that were recorded with the same weights.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOGITS = ROOT / "tests/models/state_dict/logits"


def main() -> None:
    """Saves the files, and has PyTorch read them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if args.read:
        read(args.read)
        return
    from scripts.record_logits import make_environment

    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder))
        python = args.python or make_environment(f"{folder}/environment")
        subprocess.run([python, __file__, "--read", folder], check=True)


def recorded():
    """Name and content of each record of a network of torchvision."""
    for path in sorted(LOGITS.glob("*.json")):
        content = json.loads(path.read_text())
        if content["library"] == "torchvision":
            yield path.stem, content


def save(folder: Path) -> None:
    """Loads the weights of the tests into our networks, and saves them."""
    from cnnjax.models import load_weights, make_model, save_weights
    from cnnjax.weights import write_safetensors
    from tests.support.weights.recipe import make_array

    for name, content in recorded():
        arrays = {k: make_array(k, shape) for k, shape in content["shapes"].items()}
        write_safetensors(folder / "weights", arrays)
        classes = len(content["logits"][0])
        shape = (*content["images"][2:], 3)
        variables = load_weights(
            name, folder / "weights", num_classes=classes, image_shape=shape
        )
        model = make_model(name, num_classes=classes)
        save_weights(model, variables, folder / f"{name}.pth", "torch")
        save_weights(model, variables, folder / f"{name}.safetensors")


def read(folder: Path) -> None:
    """Loads the files into torchvision's networks and compares logits."""
    import safetensors.torch
    import torch

    from scripts.record_logits import make_network
    from tests.support.weights.recipe import make_images

    for name, content in recorded():
        network = make_network("torchvision", name).eval()
        expected = torch.tensor(content["logits"])
        for state in (
            torch.load(folder / f"{name}.pth", weights_only=True),
            safetensors.torch.load_file(folder / f"{name}.safetensors"),
        ):
            network.load_state_dict(state, strict=True)
            with torch.no_grad():
                logits = network(torch.from_numpy(make_images(content["images"])))
            assert torch.equal(logits, expected), name
        print(f"{name}: {len(state)} arrays, equal logits")


if __name__ == "__main__":
    main()
