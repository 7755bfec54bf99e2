"""Image files with labels in tar archives, as WebDataset stores them."""

import glob
import json
import os
import tarfile
from typing import BinaryIO, NamedTuple

from cnnjax import progress
from cnnjax.data.dataset import SPLITS, RawDataset
from cnnjax.data.decoding import ENDINGS
from cnnjax.data.encoded_images import EncodedImages
from cnnjax.data.sources.argument import parse_argument
from cnnjax.data.sources.labels import number_labels, split_files
from cnnjax.data.stamps import Stamp, stamp
from cnnjax.errors import DataError, show
from cnnjax.files import open_regular

_LABELS = (".cls", ".json")  # the endings of files that hold a label
_MOST_LABEL_BYTES = 2**16
_BLOCK = 2**16  # bytes that are checked at a time


class _Member(NamedTuple):
    """An image in an archive: where its bytes are, and its label."""

    archive: str
    name: str
    offset: int
    size: int
    label: str
    archive_stamp: Stamp | None

    def stamp(self) -> Stamp | None:
        if self.archive_stamp is None:
            return None
        return *self.archive_stamp, self.offset, self.size

    def read(self) -> bytes:
        try:
            with open_regular(self.archive) as file:
                content = os.pread(file.fileno(), self.size, self.offset)
        except OSError as error:
            raise DataError(
                f"{self.archive} can no longer be read: {error.strerror or error}"
            ) from error
        return content


def load_tar(argument: str) -> RawDataset:
    """Finds the images in archives; none of them is decoded yet.

    Files whose names differ only after the first dot belong together: ``a/07.jpg`` is
    an image, ``a/07.cls`` its label as a class number or class name, or ``a/07.json``
    an object with the key ``label``. Archives whose names begin with ``train``,
    ``val`` (``valid``, ``validation``) or ``test`` hold that split; if none does, all
    are for training. Archives must not be compressed.

    Args:
      argument: a file, or a pattern such as ``shards/*.tar``.

    Raises:
      DataError: if no file matches, or an archive is damaged, compressed, or has an
        image without a label.
    """
    pattern = str(parse_argument("tar", argument, ()).path)
    exists = os.path.exists(pattern)
    archives = [pattern] if exists else sorted(glob.glob(pattern))
    if not archives:
        raise DataError(f"{pattern} matches no file: name tar archives, as in x/*.tar")
    splits: dict[str, list[_Member]] = {}
    listed, notes = 0, []
    for split, paths in split_files(archives).items():
        splits[split] = []
        for path in paths:
            members, links = _members(path)
            splits[split] += members
            if links:
                notes.append(
                    f"{path} has {links:,} links to images, which are skipped: store"
                    " the images themselves, as tar does with the options -h and"
                    " --hard-dereference"
                )
            listed += 1
            progress.tell("listing archives", listed, len(archives), "archives")
    if not splits.get("train"):
        raise DataError("; ".join([f"{pattern} holds no images for training", *notes]))
    members = [member for name in splits for member in splits[name]]
    labels, names = number_labels([member.label for member in members], pattern)
    found, start = {}, 0
    for name, split in splits.items():
        found[name] = _encoded(split), labels[start : start + len(split)]
        start += len(split)
    return RawDataset(*map(found.get, SPLITS), class_names=names, notes=tuple(notes))


def _encoded(members: list[_Member]) -> EncodedImages:
    names = [f"{member.archive}/{member.name}" for member in members]
    return EncodedImages(
        names, lambda n: members[n].read(), lambda n: members[n].stamp()
    )


def _members(path: str) -> tuple[list[_Member], int]:
    """The images of one archive in order, and the number of its links to images.

    Raises:
      DataError: see ``load_tar``.
    """
    known = stamp(path)
    images: dict[str, tarfile.TarInfo] = {}
    labels: dict[str, str] = {}
    links = 0
    try:
        with open_regular(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for info in tar:
                folder, name = os.path.split(info.name)
                stem, _, ending = name.partition(".")
                key, ending = os.path.join(folder, stem), f".{ending.lower()}"
                is_image = ending.endswith(ENDINGS)
                links += is_image and (info.issym() or info.islnk())
                if not info.isreg() or not stem:  # such as the files of macOS, ._a.png
                    continue
                if info.issparse():
                    raise ValueError(f"{info.name} is stored as a sparse file")
                if is_image:
                    if key in images:
                        raise ValueError(
                            f"it has two images called {key}; expected one for each"
                            " name up to the first dot"
                        )
                    images[key] = info
                elif ending in _LABELS and info.size <= _MOST_LABEL_BYTES:
                    content = tar.extractfile(info)
                    text = _label(content.read(), ending) if content else None
                    if text is not None and labels.setdefault(key, text) != text:
                        raise ValueError(f"it has two labels for {key}")
            _check_end(file, tar.offset)
    except (OSError, tarfile.TarError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path} cannot be read as an archive of images and labels ({reason});"
            " expected an uncompressed tar archive"
        ) from error
    members = []
    for key, info in images.items():
        if key not in labels:
            raise DataError(
                f"{path} has no label for {info.name}: expected {key}.cls, or"
                f" {key}.json with the key 'label'"
            )
        start, size = info.offset_data, info.size
        members.append(_Member(path, info.name, start, size, labels[key], known))
    return members, links


def _check_end(file: BinaryIO, end: int) -> None:
    """Refuses an archive that continues where ``tarfile`` stops silently.

    Args:
        file: the archive.
        end: where the header of the next member would be.

    Raises:
        ValueError: a damaged header, or data after the end.
    """
    file.seek(end)
    while block := file.read(_BLOCK):
        if any(block):
            raise ValueError(
                f"the header of a file at byte {end:,} is damaged, or the archive was"
                " appended to another one; write it again"
            )


def _label(content: bytes, ending: str) -> str | None:
    """The label in a file; ``None`` for an object without one."""
    text = content.decode()
    if ending == ".cls":
        return text.strip()
    values = json.loads(text)
    label = values.get("label") if isinstance(values, dict) else None
    if label is not None and type(label) not in (int, str):
        raise ValueError(f"it has the label {show(label)}, expected a number or a name")
    return None if label is None else str(label).strip()
