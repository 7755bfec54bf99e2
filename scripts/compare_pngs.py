"""Checks that PNG files train exactly as the IDX files that they were made from.

``python scripts/compare_pngs.py --idx=/usr/share/datasets/fashion-mnist`` sorts the
examples by class, as those of a folder are, and writes them as IDX files and as a
folder of PNG files, whose names are numbers with leading zeros and so sort in the same
order. It trains on the IDX files, on the PNG files in memory, streamed, and streamed
from ``data.cache``, and compares loss, accuracy and gradients of every step, each
validation, and the test score.
"""

import argparse
import json
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import cnnjax
from cnnjax.data.sources.idx import load_idx

TIMES = (
    *("seconds", "images_per_second", "step_seconds"),
    *("host_fraction", "data_wait_fraction"),
    *("validation_seconds", "checkpoint_seconds"),
)
"""What differs from run to run in ``metrics.jsonl``."""

WAYS: dict[str, dict[str, Any]] = {
    "PNG files": {},
    "PNG files, streamed": {"data.streaming": True},
    "PNG files, cached": {"data.streaming": True, "data.cache": "disk"},
}
"""Settings by what they are called."""


def write_idx(path: Path, array: np.ndarray) -> None:
    """Writes an array of bytes as an IDX file."""
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim)
    shape = struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + shape + array.tobytes())


def export(source: Path, folder: Path, most: int) -> None:
    """Writes up to ``most`` examples of each split, by class, in both forms."""
    raw = load_idx(str(source))
    (folder / "idx").mkdir(parents=True)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = (x[:most] for x in getattr(raw, split))
        order = np.argsort(labels, kind="stable")
        images, labels = images[order, ..., 0], labels[order].astype(np.uint8)
        write_idx(folder / "idx" / f"{prefix}-images-idx3-ubyte", images)
        write_idx(folder / "idx" / f"{prefix}-labels-idx1-ubyte", labels)
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = folder / "png" / split / f"{label:03d}" / f"{number:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)


def train(settings: dict[str, Any], source: str, workdir: Path) -> list[dict]:
    """The metrics of a run, without times."""
    cnnjax.train(settings, data=source, workdir=workdir, progress="none")
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return [{k: v for k, v in each.items() if k not in TIMES} for each in records]


def main(words: list[str] | None = None) -> int:
    """Trains in each way; 1 if one of them differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--idx", required=True, type=Path, help="folder of IDX files")
    parser.add_argument("--most", type=int, default=10_000, help="examples of a split")
    parser.add_argument("--duration", default="1 epoch", help="default: 1 epoch")
    args = parser.parse_args(words)
    settings = {
        "duration": args.duration,
        "log_every": "1 steps",
        "data.flip": True,
        "batch_size": 64,
        "optimizer.learning_rate": 0.01,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export(args.idx, folder, args.most)
        expected = train(settings, f"idx:{folder / 'idx'}", folder / "run")
        same = True
        for number, (way, more) in enumerate(WAYS.items()):
            more = {**settings, **more, "data.cache_folder": str(folder / "cache")}
            workdir = folder / f"run{number}"
            found = train(more, f"folder:{folder / 'png'}", workdir)
            is_same = found == expected
            same = same and is_same
            verdict = "the same" if is_same else "DIFFERENT"
            print(f"{way}: {len(found)} lines of metrics, {verdict}")
    print(f"test accuracy {expected[-1]['accuracy']:.2%}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
