"""Small trained runs of every kind that is exported, on arrays in a file."""

from pathlib import Path
from typing import Any

import numpy as np

import cnnjax
from tests.support.inference.runs import NAMES, SETTINGS

FORMATS = ("onnx", "stablehlo")
SHAPE = (9, 7, 3)

CASES: dict[str, dict[str, Any]] = {
    "classes": {},
    "sigmoid": {"loss.name": "sigmoid"},
    "multilabel": {"loss.name": "sigmoid"},
    "regression": {"loss.name": "mse"},
    "signals": {"shape": (24, 2), "data.source": "synthetic:24x2,3,60"},
    "floats": {"dtype": np.float32},
    "volumes": {"shape": (6, 5, 4, 1)},
    "batch norm": {"model.batch_norm": True},
    "bfloat16": {"precision": "bfloat16"},
}


def make_arrays(case: str, n=60, seed=0) -> dict[str, np.ndarray]:
    """Images and labels of a case."""
    options = CASES[case]
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (n, *options.get("shape", SHAPE)))
    images = images.astype(options.get("dtype", np.uint8))
    if images.dtype == np.float32:
        images += random.random(images.shape, np.float32)
    labels: Any = {
        "multilabel": random.integers(0, 2, (n, 3)),
        "regression": random.normal(size=(n, 3)),
    }.get(case, np.arange(n) % 3)
    return {"images": images, "labels": labels, "class_names": np.array(NAMES)}


def train_case(case: str, folder: Path) -> Path:
    """The working directory of a run that was trained for some steps."""
    np.savez(folder / "data.npz", **make_arrays(case))  # type: ignore[arg-type]
    changes = {k: v for k, v in CASES[case].items() if k not in ("shape", "dtype")}
    settings = SETTINGS | {
        "data.source": f"npz:{folder / 'data.npz'}",
        "duration": "5 steps",
        "eval_every": "5 steps",
    }
    workdir = folder / "run"
    cnnjax.train(settings | changes, workdir=workdir, progress="none")
    return workdir
