"""Pastes handwritten zeros and ones on photographs, as a data set for segmentation.

``python scripts/paste_digits.py pasted`` writes ``pasted/{train,val,test}/images/``,
the masks in ``.../masks/``, and ``pasted/classes.txt``. Digits come from scikit-learn,
photographs from scikit-image and scikit-learn. No photograph and no digit is in two
splits. The masks are exact: class 0 is the photograph, 1 a zero, and 2 a one.
"""

import argparse
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

from cnnjax.data.masks import encode_mask

SIZE = 64  # height and width of a picture, in pixels
SPLITS = {
    "train": (1000, slice(0, 240), ("astronaut", "cat", "rocket", "retina", "moon")),
    "val": (100, slice(240, 290), ("flower.jpg",)),
    "test": (200, slice(290, 360), ("coffee", "china.jpg")),
}
"""Of each split: the number of pictures, its digits, and its photographs."""

CLASSES = ("photograph", "zero", "one")


def load_photograph(name: str) -> np.ndarray:
    """A photograph ``(height, width, 3)`` of half its size, uint8."""
    if name.endswith(".jpg"):
        pixels = load_sample_image(name)
    else:
        pixels = getattr(skimage.data, name)()
    image = Image.fromarray(pixels).convert("RGB")
    return np.asarray(image.resize((image.width // 2, image.height // 2)))


def paste(
    picture: np.ndarray,
    mask: np.ndarray,
    digit: np.ndarray,
    label: int,
    random: np.random.Generator,
) -> None:
    """Pastes a digit ``(8, 8)`` at a random place, in a random size and color."""
    size = int(random.integers(20, 37))
    large = Image.fromarray((digit * 15).astype(np.uint8)).resize((size, size))
    ink = np.asarray(large) > 100
    top, left = random.integers(0, SIZE - size + 1, 2)
    place = (slice(top, top + size), slice(left, left + size))
    is_dark = picture[place].mean() > 127
    color = random.integers(0, 70, 3) if is_dark else random.integers(186, 256, 3)
    picture[place][ink] = color
    mask[place][ink] = label


def make_split(folder: Path, split: str) -> None:
    """Writes the pictures and the masks of one split."""
    count, chosen, names = SPLITS[split]
    digits = load_digits(n_class=2)
    images, numbers = digits.images[chosen], digits.target[chosen]
    photographs = [load_photograph(name) for name in names]
    random = np.random.default_rng([*split.encode()])
    for kind in ("images", "masks"):
        (folder / split / kind).mkdir(parents=True)
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        top, left = random.integers(0, np.array(photograph.shape[:2]) - SIZE + 1)
        picture = photograph[top : top + SIZE, left : left + SIZE].copy()
        mask = np.zeros((SIZE, SIZE), np.uint8)
        for _ in range(random.integers(1, 4)):
            example = random.integers(len(images))
            paste(picture, mask, images[example], int(numbers[example]) + 1, random)
        name = f"{number:04d}"
        Image.fromarray(picture).save(folder / split / "images" / f"{name}.jpg")
        (folder / split / "masks" / f"{name}.png").write_bytes(encode_mask(mask))


def main() -> None:
    """Makes the data set."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where to write the data set")
    folder = parser.parse_args().folder
    if folder.exists():
        parser.error(f"{folder} exists; name a new folder, or remove it")
    for split in SPLITS:
        make_split(folder, split)
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    print(f"{sum(size for size, *_ in SPLITS.values()):,} pictures in {folder}")


if __name__ == "__main__":
    main()
