"""Image files in one folder per class."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cnnjax import progress
from cnnjax.data.dataset import SPLITS, RawDataset
from cnnjax.data.decoding import ENDINGS, read_bytes
from cnnjax.data.encoded_images import EncodedImages
from cnnjax.data.sources.argument import parse_argument
from cnnjax.data.sources.labels import SPLIT_NAMES
from cnnjax.data.stamps import stamp
from cnnjax.errors import DataError

_LISTED = 10  # names in a message


def load_folder(argument: str, only: str | None = None) -> RawDataset:
    """Finds the image files in class folders; none of them is read yet.

    ``folder/cat/1.jpg`` is an example of the class ``cat``, as is
    ``folder/cat/old/2.png``: folders are searched to any depth, through symbolic links
    too. Classes are numbered by name in alphabetical order. If the only subfolders are
    ``train``, ``val`` (or ``valid``, ``validation``) and ``test``, they hold the
    splits, with class folders inside.

    Files count by their ending, in upper or lower case; others are left out. The order
    is that of torchvision's ImageFolder: by class, then by folder, then by file name.

    Args:
      argument: the folder.
      only: the one split to look for; by default all that there are.

    Raises:
      DataError: if there is no such folder, a class has no images, or a split has a
        class that train does not have.
    """
    folder = parse_argument("folder", argument, ()).path
    splits = find_splits(folder, only)
    names = _classes(splits.get("train") or splits[only or "train"])
    found, notes = {}, []
    for split, path in splits.items():
        if only in (None, split):
            found[split] = _find_files(path, names)
            notes += _missing_classes(split, found[split][1], names)
    return RawDataset(*map(found.get, SPLITS), class_names=names, notes=tuple(notes))


def find_splits(folder: Path, only: str | None) -> dict[str, Path]:
    """The folders of the splits; ``folder`` itself is ``train`` if it has none."""
    names = _subfolders(folder)
    found = {SPLIT_NAMES.get(name.lower()) for name in names}
    if None in found or not found & {"train", only}:
        known = sorted(name for name in names if name.lower() in SPLIT_NAMES)
        if "train" in found and len(known) > 1:
            others = sorted({*names} - {*known})
            raise DataError(
                f"{folder} has {_list(known)} beside {_list(others)}: expected either"
                " splits, called train, val and test, or classes; move the others away"
            )
        return {"train": folder}
    splits: dict[str, Path] = {}
    for name in sorted(names):
        split = SPLIT_NAMES[name.lower()]
        if split in splits:
            raise DataError(
                f"{folder} has both {splits[split].name} and {name}: keep one of them"
            )
        splits[split] = folder / name
    return splits


def _subfolders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir()]
    except OSError as error:
        reason = error.strerror or error
        raise DataError(
            f"the folder {folder} cannot be read: {reason}; name the folder that holds"
            " one folder of images per class"
        ) from error


def _classes(folder: Path) -> list[str]:
    names = sorted(_subfolders(folder))
    if not names:
        raise DataError(
            f"{folder} has no subfolders: expected one folder of images per class"
        )
    return names


def _find_files(folder: Path, names: Sequence[str]) -> tuple[EncodedImages, np.ndarray]:
    """The image files of one split, and the number of the class of each."""
    if unknown := sorted({*_subfolders(folder)} - {*names}):
        raise DataError(
            f"{folder} has classes that the training split does not have:"
            f" {_list(unknown)}; expected {_list(names)}"
        )
    paths: list[str] = []
    labels: list[np.ndarray] = []
    for number, name in enumerate(names):
        before = len(paths)
        paths += image_files(folder / name)
        labels.append(np.full(len(paths) - before, number, np.int32))
        progress.tell("listing files", number + 1, len(names), "classes")
    if not paths:
        raise DataError(
            f"{folder} holds no images: expected files with the endings"
            f" {', '.join(ENDINGS)} in one folder per class"
        )
    images = EncodedImages(
        paths, lambda number: read_bytes(paths[number]), lambda n: stamp(paths[n])
    )
    return images, np.concatenate(labels)


def image_files(folder: Path) -> Iterator[str]:
    """The image files below a folder, in the order of torchvision's ImageFolder."""
    seen = {os.path.realpath(folder)}
    found = []
    for place, folders, files in os.walk(folder, followlinks=True):
        # A folder called x.jpg counts as a file, which is then found to be none.
        names = [*files, *folders]
        found.append((place, [n for n in names if n.lower().endswith(ENDINGS)]))
        reached = {
            name: os.path.realpath(os.path.join(place, name)) for name in folders
        }
        # By links, a folder can be reached twice, or without end.
        folders[:] = [name for name in sorted(folders) if reached[name] not in seen]
        seen.update(reached.values())
    for place, names in sorted(found):
        for name in sorted(names):
            yield os.path.join(place, name)


def _missing_classes(split: str, labels: np.ndarray, names: Sequence[str]) -> list[str]:
    """A sentence about classes without images.

    Raises:
      DataError: if they are missing from the training split.
    """
    counts = np.bincount(labels, minlength=len(names))
    if counts.all():
        return []
    empty = [names[number] for number in np.flatnonzero(counts == 0).tolist()]
    if split == "train":
        raise DataError(
            f"the class {_list(empty)} has no images: expected files with the endings"
            f" {', '.join(ENDINGS)}; add some, or remove the folder"
        )
    return [f"the {split} split has no images of {_list(empty)}"]


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
