"""Times the decoding of image files against the same Pillow calls in a thread pool.

``python scripts/benchmark_data.py --files=2000`` writes JPEG files of 500 x 375 pixels,
cut out of scikit-learn's photographs, to a temporary folder. It then streams training
batches of 224 x 224 from ``folder:``, and decodes the same files with Pillow alone, in
turn, and prints images per second and the median ratio.
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from cnnjax.data import load_dataset, train_batches
from cnnjax.data.image_files import FileSettings

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


def cnnjax_speed(split, seed: int) -> float:
    """Images per second of training batches."""
    steps = len(split.labels) // BATCH
    start = time.perf_counter()
    for _ in train_batches(split, BATCH, seed, num_steps=steps):
        pass
    return steps * BATCH / (time.perf_counter() - start)


def main() -> None:
    """Writes the files, and prints a line per round."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=2000, help="default: 2000")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument("--workers", type=int, default=2, help="default: 2")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        paths = write_files(Path(name), args.files)
        split = load_dataset(
            f"folder:{name}",
            validation_fraction=0.01,
            test_fraction=0.01,
            seed=0,
            streaming=True,
            files=FileSettings(size=(SIZE, SIZE), workers=args.workers),
        ).train
        ratios = []
        for seed in range(args.rounds):
            pillow = pillow_speed(paths, args.workers)
            own = cnnjax_speed(split, seed)
            ratios.append(own / pillow)
            print(f"cnnjax {own:,.0f} images/s, Pillow {pillow:,.0f}: {ratios[-1]:.2f}")
    print(f"median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
