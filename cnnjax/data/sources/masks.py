"""Image files with a mask file each, whose pixels are class numbers."""

import os
from pathlib import Path

from cnnjax import progress
from cnnjax.data.dataset import SPLITS, RawDataset
from cnnjax.data.decoding import read_bytes
from cnnjax.data.encoded_images import EncodedImages
from cnnjax.data.sources.argument import parse_argument
from cnnjax.data.sources.folder import find_splits, image_files
from cnnjax.data.stamps import stamp
from cnnjax.data.tasks import SEGMENTATION
from cnnjax.errors import DataError

NAMES = "classes.txt"

_EXPECTED = (
    "expected images/NAME.jpg (or .png, ...) and masks/NAME.png, either in the folder"
    " that data.source names, or in each of its folders train, val and test"
)


def load_masks(argument: str, only: str | None = None) -> RawDataset:
    """Finds images and masks; none of them is read yet.

    ``folder/images/a/1.jpg`` belongs to ``folder/masks/a/1.png``. If the only
    subfolders are ``train``, ``val`` (or ``valid``, ``validation``) and ``test``, they
    hold the splits, with ``images`` and ``masks`` inside.

    Masks are PNG files, gray with 8 bits or with a palette; 255 stands for a pixel to
    ignore. ``folder/classes.txt`` names the classes, one per line from class 0 on.

    Args:
      argument: the folder, with the option ``classes``, their number.
      only: the one split to look for; by default all that there are.

    Raises:
      DataError: if there is no such folder, or an image has no mask.
    """
    parsed = parse_argument("masks", argument, {"classes"})
    folder = parsed.path
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}: {_EXPECTED}")
    found, notes = {}, []
    for split, path in find_splits(folder, only).items():
        if only in (None, split):
            found[split] = _find_pairs(path, notes)
    names = _read_names(folder / NAMES)
    count = parsed.num_classes
    if names is not None and count is not None and len(names) != count:
        raise DataError(
            f"classes={count}, but {folder / NAMES} names {len(names)}"
            " classes: leave the option out"
        )
    return RawDataset(
        *map(found.get, SPLITS),
        num_classes=count,
        class_names=names,
        notes=tuple(notes),
        task=SEGMENTATION,
    )


def _find_pairs(folder: Path, notes: list[str]) -> tuple[EncodedImages, EncodedImages]:
    """The images of one split and their masks, in the same order."""
    images, masks = _files(folder / "images"), _files(folder / "masks")
    for name, path in masks.items():
        if not path.lower().endswith(".png"):
            raise DataError(
                f"{path} is not a PNG file: expected masks/{name}.png, as other formats"
                " may change class numbers"
            )
    for name, path in images.items():
        if name not in masks:
            raise DataError(
                f"{path} has no mask: expected {folder / 'masks' / name}.png; add it,"
                " or remove the image"
            )
    if unused := [path for name, path in masks.items() if name not in images]:
        what = "mask has" if len(unused) == 1 else "masks have"
        notes.append(f"{len(unused):,} {what} no image, such as {unused[0]}")
    progress.tell("listing files", len(images), len(images))
    return _encoded([*images.values()]), _encoded([masks[name] for name in images])


def _encoded(paths: list[str]) -> EncodedImages:
    return EncodedImages(
        paths, lambda number: read_bytes(paths[number]), lambda n: stamp(paths[n])
    )


def _files(folder: Path) -> dict[str, str]:
    """The image files below a folder, by their paths there without the ending."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}: {_EXPECTED}")
    found: dict[str, str] = {}
    for path in image_files(folder):
        name = os.path.splitext(os.path.relpath(path, folder))[0]
        if name in found:
            raise DataError(
                f"{found[name]} and {path} differ only in their endings, so that one"
                " mask would belong to both: rename one of them"
            )
        found[name] = path
    if not found:
        raise DataError(f"{folder} holds no image files")
    return found


def _read_names(path: Path) -> list[str] | None:
    """The lines of a file of class names; ``None`` without one."""
    if not path.exists():
        return None
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read ({error}): expected the name of one class per line"
        ) from error
    return [line.strip() for line in text.splitlines() if line.strip()]
