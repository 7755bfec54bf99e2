#!/usr/bin/env python3
"""Checks that every export of a network agrees with its checkpoint.

python scripts/check_exports.py [MODEL ...] [--formats=onnx,stablehlo,safetensors,torch]

Each network (default: all, smallest first) is trained for a few steps on the digits of
scikit-learn, enlarged to images, signals or volumes, so that its statistics are real.
Each export is then compared with the checkpoint on 1,000 test examples. The script
prints one row of a table for each file, and fails if a file disagrees or any prediction
differs. Of a network with one prediction per pixel, 1% of the examples may differ in a
pixel whose classes are tied up to rounding. Runs stay in ``--folder`` and are used
again.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import cnnjax
from cnnjax.benchmark.network_size import published_size
from cnnjax.errors import ConfigError, DataError
from cnnjax.inference.export import EXPORTERS, export_run
from cnnjax.inference.export.exporters import ENDINGS
from cnnjax.models.catalog import CATALOG, IMAGENET
from cnnjax.train.run.segmentation import PER_PIXEL

TESTED, VALIDATED = 1000, 32
SHAPES = {
    IMAGENET: (64, 64, 3),
    (256, 256, 3): (64, 64, 3),
    (16, 112, 112, 3): (8, 32, 32, 3),
}
"""Smaller shapes than the published ones, for time."""


def main() -> int:
    """Prints the table; the status is 1 if a file failed."""
    parser = argparse.ArgumentParser(description="Checks the exports of networks.")
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--formats", default=",".join(EXPORTERS))
    parser.add_argument("--folder", type=Path, default=Path("runs/check_exports"))
    parser.add_argument("--steps", type=int, default=4)
    args = parser.parse_args()
    models = args.models or sorted(CATALOG, key=multiply_adds)
    print("| model | images | format | same | difference | seconds | size |")
    print("|---|---|---|---|---|---|---|", flush=True)
    failed = 0
    for name in models:
        workdir = train(name, args.folder, args.steps)
        for form in args.formats.split(","):
            failed += not check(name, workdir, form)
    return int(failed > 0)


def multiply_adds(name: str) -> float:
    """Those of one example as the network is checked."""
    published, shape = CATALOG[name].shape, checked_shape(name)
    share = np.prod(shape[:-1]) / np.prod(published[:-1])
    return published_size(name).multiply_adds * share


def checked_shape(name: str) -> tuple[int, ...]:
    """The shape of the examples that a network is checked on."""
    return SHAPES.get(CATALOG[name].shape, CATALOG[name].shape)


def train(name: str, folder: Path, steps: int) -> Path:
    """The working directory of a run of a few steps."""
    settings = {
        "data.source": make_source(name, folder),
        "model.name": name,
        "optimizer": {"name": "sgd", "learning_rate": 1e-2},
        "batch_size": 32,
        "duration": f"{steps} steps",
        "eval_every": f"{steps} steps",
    }
    cnnjax.train(settings, workdir=folder / name, progress="none")
    return folder / name


def make_source(name: str, folder: Path) -> str:
    """Digits that a network takes as a source, in a file that is written once."""
    shape = checked_shape(name)
    kind = "masks" if name in PER_PIXEL else "digits"
    data = folder / f"{kind}_{'x'.join(map(str, shape))}.npz"
    if not data.exists():
        folder.mkdir(parents=True, exist_ok=True)
        arrays = make_splits(shape, per_pixel=kind == "masks")
        np.savez(data, **arrays)  # type: ignore[arg-type]
    return f"npz:{data}" + ("?channels=last" if len(shape) == 2 else "")


def make_splits(shape: tuple[int, ...], per_pixel: bool) -> dict[str, np.ndarray]:
    """Digits of a shape: a signal is a row of pixels, a volume moves to the right.

    Labels per pixel tell whether it is bright.
    """
    pixels, labels = load_digits(return_X_y=True)
    pictures = pixels.reshape(-1, 8, 8) * 15.9375
    images = np.stack([fit(each, shape) for each in pictures]).astype(np.uint8)
    if per_pixel:
        labels = (images.mean(-1) > 127).astype(int)
    splits, start = {}, 0
    for split, count in (("test", TESTED), ("validation", VALIDATED), ("train", None)):
        chosen = slice(start, None if count is None else start + count)
        splits |= {f"x_{split}": images[chosen], f"y_{split}": labels[chosen]}
        start += count or 0
    return splits


def fit(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A picture ``(8, 8)`` as one example of a shape."""
    *spatial, channels = shape
    if len(spatial) == 1:
        signal = np.interp(np.linspace(0, 63, spatial[0]), range(64), image.ravel())
        return np.repeat(signal[:, None], channels, -1)
    *frames, height, width = spatial
    size, bicubic = (width, height), Image.Resampling.BICUBIC
    resized = np.asarray(Image.fromarray(image.astype(np.uint8)).resize(size, bicubic))
    picture = np.repeat(resized[..., None], channels, -1)
    if frames:
        return np.stack([np.roll(picture, n, axis=1) for n in range(frames[0])])
    return picture


def check(name: str, workdir: Path, form: str) -> bool:
    """Exports one file, prints a row, and says whether all predictions are the same."""
    path = workdir / f"model.{ENDINGS.get(form, form)}"
    start = time.perf_counter()
    try:
        path, facts = export_run(str(workdir), form, str(path))
    except (ConfigError, DataError) as error:
        print(f"| {name} | {form} | FAILED: {error} |", flush=True)
        return False
    seconds = time.perf_counter() - start
    size = path.stat().st_size / 1e6
    path.unlink()
    proof, shape = facts["certificate"], "x".join(map(str, checked_shape(name)))
    row = f"| {name} | {shape} | {form} | {{}} | {seconds:.1f} s | {size:.2f} MB |"
    if proof is None:
        print(row.format(f"{facts['arrays']} arrays, bit for bit | 0"), flush=True)
        return facts["verified"]
    same, count = proof["same_predictions"], proof["examples"]
    difference = f"{proof['largest_relative_difference']:.1e}"
    print(row.format(f"{same:,} of {count:,} | {difference}"), flush=True)
    allowed = TESTED // 100 if name in PER_PIXEL else 0
    return count == TESTED and same >= count - allowed


if __name__ == "__main__":
    sys.exit(main())
