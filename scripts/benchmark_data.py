"""Times how image files are read: against others, and with a cache.

``python scripts/benchmark_data.py --files=10000`` writes JPEG files of 500 x 375
pixels, cut out of scikit-learn's photographs, to a temporary folder. In each round, it
streams an epoch of training batches of 224 x 224 in every way in turn: decoded by
cnnjax, by the same Pillow calls in a bare thread pool, by PyTorch
(``--torch-python=PATH``), and taken from ``data.cache``. Then it times the start of a
run, with and without what an earlier start left. It prints a line per round, and the
median and the range of each ratio.
"""

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from cnnjax.data import Dataset, Split, load_dataset, measure, train_batches
from cnnjax.data.image_files import FileSettings
from cnnjax.train.run.data_identity import describe

SIZE = 224
BATCH = 128


def write_files(folder: Path, count: int) -> list[Path]:
    """Writes JPEG files of 500 x 375 pixels in two class folders."""
    random = np.random.default_rng(0)
    photographs = [Image.fromarray(image) for image in load_sample_images().images]
    paths = []
    for number in range(count):
        photograph = photographs[number % 2]
        width = int(random.integers(300, 560))
        height = width * 3 // 4
        left = int(random.integers(photograph.width - width))
        top = int(random.integers(max(1, photograph.height - height)))
        part = photograph.crop((left, top, left + width, top + height))
        path = folder / str(number % 2) / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        part.resize((500, 375)).save(path, quality=90)
        paths.append(path)
    return paths


def load(folder: Path, workers: int, cache: str, cache_folder: Path | None) -> Dataset:
    """The files as a data set that is streamed."""
    files = FileSettings((SIZE, SIZE), workers=workers)
    return load_dataset(
        f"folder:{folder}",
        validation_fraction=0.01,
        test_fraction=0.01,
        seed=0,
        streaming=True,
        files=files._replace(cache=cache, cache_folder=cache_folder),
    )


def decode(path: Path) -> np.ndarray:
    """The center of one image, resized."""
    with Image.open(path) as image:
        upright = image.convert("RGB")
        box = (62.5, 0, 437.5, 375)
        small = upright.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box)
        return np.asarray(small)


def pillow_speed(paths: list[Path], workers: int) -> float:
    """Images per second of a bare thread pool that fills batches."""
    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, len(paths) - BATCH + 1, BATCH):
            np.stack([*pool.map(decode, paths[first : first + BATCH])])
    return len(paths) // BATCH * BATCH / (time.perf_counter() - start)


def cnnjax_speed(split: Split, seed: int) -> float:
    """Images per second of training batches."""
    steps = len(split.labels) // BATCH
    start = time.perf_counter()
    for _ in train_batches(split, BATCH, seed, num_steps=steps):
        pass
    return steps * BATCH / (time.perf_counter() - start)


class Torch:
    """PyTorch's DataLoader in a process of its own, with a Python of its own."""

    def __init__(self, python: str, folder: Path, workers: int):
        script = Path(__file__).with_name("benchmark_data_torch.py")
        words = [python, script, folder, SIZE, BATCH, workers]
        self._process = subprocess.Popen(
            [*map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.speed()  # which starts its worker processes

    def speed(self) -> float:
        """Images per second of an epoch."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("epoch\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


def seconds_to_start(folder: Path, args, cache: str, kept: Path | None) -> float:
    """How long the data of a run takes before its first step."""
    start = time.perf_counter()
    dataset = load(folder, args.workers, cache, kept)
    measure(dataset.train.images)
    describe(dataset)
    return time.perf_counter() - start


def compare_epochs(folder: Path, paths: list[Path], args) -> None:
    """Prints the images per second of each way to read an epoch."""
    kept = folder.with_name("cache")
    plain = load(folder, args.workers, "none", None).train
    disk = load(folder, args.workers, "disk", kept).train
    memory = load(folder, args.workers, "memory", None).train
    ways = {
        "cnnjax": lambda seed: cnnjax_speed(plain, seed),
        "Pillow": lambda seed: pillow_speed(paths, args.workers),
        "cache on disk": lambda seed: cnnjax_speed(disk, seed),
        "cache in memory": lambda seed: cnnjax_speed(memory, seed),
    }
    if args.torch_python:
        peer = Torch(args.torch_python, folder, args.workers)
        ways["PyTorch"] = lambda seed: peer.speed()
    rounds = []
    for seed in range(args.rounds):
        rounds.append({name: speed(seed) for name, speed in ways.items()})
        print(", ".join(f"{name} {x:,.0f}" for name, x in rounds[-1].items()))
    for name in ways:
        found = statistics.median(each[name] for each in rounds)
        ratios = sorted(each[name] / each["cnnjax"] for each in rounds)
        print(
            f"{name}: median {found:,.0f} images/s, {statistics.median(ratios):.2f} of"
            f" cnnjax without a cache ({ratios[0]:.2f} to {ratios[-1]:.2f}, n ="
            f" {len(ratios)})"
        )


def compare_starts(folder: Path, args) -> None:
    """Prints the seconds before the first step, of first and second starts."""
    found: dict[str, list[float]] = {}
    for _ in range(args.rounds):
        for cache in ("none", "disk"):
            kept = folder.with_name("cache of starts")
            shutil.rmtree(kept, ignore_errors=True)
            for which in ("first", "second"):
                seconds = seconds_to_start(folder, args, cache, kept)
                found.setdefault(f"data.cache {cache}, {which}", []).append(seconds)
    for name, seconds in found.items():
        print(
            f"{name} start: median {statistics.median(seconds):.1f} s"
            f" ({min(seconds):.1f} to {max(seconds):.1f}, n = {len(seconds)})"
        )


def main() -> None:
    """Writes the files, and times what is done with them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=2000, help="default: 2000")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument("--workers", type=int, default=2, help="default: 2")
    parts = ("epochs", "starts")
    parser.add_argument("--measure", choices=parts, help="default: both")
    parser.add_argument("--torch-python", metavar="PATH", help="one that has PyTorch")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "pictures")
        paths = write_files(folder, args.files)
        time.sleep(2)  # until the files count as settled
        if args.measure != "starts":
            compare_epochs(folder, paths, args)
        if args.measure != "epochs":
            compare_starts(folder, args)


if __name__ == "__main__":
    main()
