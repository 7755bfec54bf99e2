"""Draws a data set of letters in many fonts, as a folder of image files.

``python scripts/draw_letters.py letters`` writes ``letters/{train,val,test}/{A..J}/``,
from all fonts of the system that have these letters. The fonts are split, so that no
family is in two splits. Sizes, grays and file formats vary; the same fonts give the
same files. On Debian, for example::

    apt-get install fonts-aenigma fonts-dustin fonts-freefont-ttf fonts-georgewilliams
"""

import argparse
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LETTERS = "ABCDEFGHIJ"
FOLDERS = (Path("/usr/share/fonts"), Path.home() / ".fonts")
SHARES = {"test": 15, "val": 10}  # percent of the font families


def find_fonts() -> Iterator[tuple[str, Path]]:
    """The family and the file of each font, in the order of their names."""
    files = {
        path.name: path
        for folder in FOLDERS
        for ending in ("ttf", "otf")
        for path in folder.rglob(f"*.{ending}")
    }
    for name in sorted(files):
        try:
            family, _ = ImageFont.truetype(files[name], 40).getname()
        except OSError:
            continue
        yield family or name, files[name]


def split_of(family: str) -> str:
    """The split of a font family, by a digest of its name."""
    number = int.from_bytes(hashlib.sha256(family.encode()).digest()[:4]) % 100
    for split, share in SHARES.items():
        if number < share:
            return split
        number -= share
    return "train"


def draw(path: Path, letter: str, random: np.random.Generator) -> Image.Image | None:
    """One picture of a letter; ``None`` if the font has no such letter."""
    height, width = (int(n) for n in random.integers(48, 97, 2))
    font = ImageFont.truetype(path, int(min(height, width) * random.uniform(0.75, 1.0)))
    missing = font.getmask("\U0010fffe")
    mask = font.getmask(letter)
    if mask.getbbox() is None or bytes(mask) == bytes(missing):
        return None
    dark, light = int(random.integers(0, 100)), int(random.integers(156, 256))
    image = Image.new("L", (width, height), light)
    pen = ImageDraw.Draw(image)
    shift = random.uniform(-0.05, 0.05, 2) * (width, height)
    center = (float(width / 2 + shift[0]), float(height / 2 + shift[1]))
    pen.text(center, letter, fill=dark, font=font, anchor="mm")
    return image


def draw_font(folder: Path, family: str, path: Path) -> int:
    """Draws all letters of one font, if it has them; how many files were written."""
    seed = int.from_bytes(hashlib.sha256(path.name.encode()).digest()[:8])
    random = np.random.default_rng(seed)
    images = {letter: draw(path, letter, random) for letter in LETTERS}
    drawn = {image.tobytes() for image in images.values() if image is not None}
    if len(drawn) < len(LETTERS):
        return 0
    for letter, image in images.items():
        target = folder / split_of(family) / letter
        target.mkdir(parents=True, exist_ok=True)
        ending = "png" if random.random() < 0.5 else "jpg"
        if image is not None:
            image.save(target / f"{path.stem}.{ending}")
    return len(images)


def main() -> None:
    """Draws the data set."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where to write the data set")
    folder = parser.parse_args().folder
    if folder.exists():
        parser.error(f"{folder} exists; name a new folder, or remove it")
    families, count = set(), 0
    for family, path in find_fonts():
        try:
            written = draw_font(folder, family, path)
        except (OSError, ValueError):  # a damaged font
            continue
        count += written
        if written:
            families.add(family)
    print(f"{count:,} pictures of {len(families)} font families in {folder}")


if __name__ == "__main__":
    main()
