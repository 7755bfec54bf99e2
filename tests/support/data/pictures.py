"""Folders of image files, good and bad ones."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def picture(random, height, width, channels=3):
    """A smooth picture, which a JPEG file keeps almost as it is."""
    small = random.integers(0, 256, (4, 4, channels), np.uint8)
    image = Image.fromarray(small.squeeze())
    return image.resize((width, height), Image.Resampling.BICUBIC)


def write_folder(folder, classes=("cat", "dog"), count=12, size=None, ending=".png"):
    """One folder per class; pictures of many sizes, unless ``size`` is given."""
    random = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            height, width = size or random.integers(20, 60, 2)
            image = picture(random, int(height), int(width))
            image.save(folder / name / f"{number:02d}{ending}")
    return folder


def bomb() -> bytes:
    """A PNG file of 100 kB that promises 900 million pixels."""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(30_001 * 300), 9)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def add_trouble(folder: Path) -> set[str]:
    """Adds odd files to a class folder; the names of those that cannot be decoded."""
    random = np.random.default_rng(1)
    image = picture(random, 40, 30)

    # Odd, but images.
    image.save(folder / "a_png_called.jpg", "PNG")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(random.integers(0, 65536, (30, 40)).astype(np.uint16)).save(
        folder / "deep.png"
    )
    palette = image.convert("P")
    palette.info["transparency"] = 0
    palette.save(folder / "palette.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folder / "turned.jpg", exif=exif)
    picture(random, 1, 1).save(folder / "one_pixel.png")
    picture(random, 10, 20_000).save(folder / "long.png")
    frames = [picture(random, 20, 20) for _ in range(3)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    image.convert("1").save(folder / "black_and_white.tiff")
    image.convert("LA").save(folder / "gray_alpha.PNG")
    image.save(folder / "naïve 図 .webp")
    image.save(folder / "two\nlines.png")
    image.save(folder / ".hidden.bmp")

    # No images.
    whole = folder / "turned.jpg"
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "cut.jpg").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (folder / "page.png").write_text("<html>not found</html>")
    (folder / "bomb.png").write_bytes(bomb())
    (folder / "dangling.png").symlink_to(folder / "nowhere.png")
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.png")
    (folder / "noise.gif").write_bytes(b"GIF89a" + random.bytes(100))
    content = bytearray((folder / "a_png_called.jpg").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (folder / "flipped.png").write_bytes(content)
    bad = {"empty.jpg", "cut.jpg", "page.png", "bomb.png", "dangling.png"}
    return bad | {"folder.jpg", "pipe.png", "noise.gif", "flipped.png"}
