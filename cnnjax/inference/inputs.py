"""What a user names to be predicted: files, folders, patterns, an archive, a list."""

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from cnnjax.data.sources.npz import read_array
from cnnjax.errors import ConfigError
from cnnjax.streams import warn

STDIN = "-"


class Item(NamedTuple):
    """One image to be predicted: its name for people, and a path or an array."""

    name: str
    image: Any


def find_items(inputs: Sequence[str]) -> list[Item]:
    """The images that the inputs name, in order.

    Of a folder, those files count whose ending is that of an image format.

    Args:
        inputs: paths of files or folders, patterns, ``.npz`` files, or ``"-"``.

    Raises:
        ConfigError: an input that names nothing.
        DataError: an archive that cannot be read.
    """
    items = [item for text in inputs for item in _find(text)]
    if not items:
        raise ConfigError(f"{' '.join(inputs)} names no images; give image files")
    return items


def _find(text: str) -> Iterator[Item]:
    if text == STDIN:
        for line in sys.stdin:
            if path := line.rstrip("\r\n"):
                yield Item(path, Path(path))
        return
    path = Path(os.path.expanduser(text))
    if path.is_dir():
        yield from _of_folder(path)
    elif path.suffix == ".npz":
        images = read_array(path, "images")
        yield from (Item(f"{path}[{i}]", image) for i, image in enumerate(images))
    elif os.path.lexists(path) or not glob.has_magic(text):
        yield Item(str(path), path)  # a missing file is reported with the others
    else:
        found = sorted(glob.glob(os.path.expanduser(text), recursive=True))
        if not found:
            raise ConfigError(
                f"{text} matches no file; quote it only if it is meant as a pattern"
            )
        for name in found:
            if not os.path.isdir(name):
                yield Item(name, Path(name))


def _of_folder(folder: Path) -> Iterator[Item]:
    """The image files below a folder, by name; hidden ones are left out."""
    endings, others = Image.registered_extensions(), 0
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_dir() or hidden:
            continue
        if path.suffix.lower() in endings:
            yield Item(str(path), path)
        else:
            others += 1
    if others:
        files = (
            "file that is not an image" if others == 1 else "files that are not images"
        )
        warn(f"{folder}: leaving out {others} {files}")
