"""Decoded images on disk, so that they are decoded once for all runs.

The files of a split are divided into shards of consecutive files. The name of a shard
is a digest of everything that its content depends on: the paths, sizes and times of its
files, how they are decoded, and by which versions. So a shard is never stale: after a
change, its name is different. A shard consists of a header, with a checksum of each
image and the errors of damaged files, and the images one after the other. It is written
under a temporary name first, and its length and checksums are verified when it is read.
"""

import hashlib
import json
import math
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnjax.data.decoding import Decoding, versions
from cnnjax.data.encoded_images import EncodedImages
from cnnjax.errors import DataError
from cnnjax.files import open_regular, write_whole

MAGIC = b"cnnjax images 1\n"
SHARD_BYTES = 2**25  # of images in one shard, which is held in memory to be written
SHARD_FILES = 1024  # the most files in one shard
_LENGTH = 8  # bytes of the header's length, and of its checksum


class Shard(NamedTuple):
    """A shard on disk whose header is intact.

    Attributes:
        path: the path of the shard.
        start: the position of the first image, in bytes.
        checksums: CRC-32 of each image; empty if the files were only checked.
        bad: the errors of damaged files, by their position in the shard.
    """

    path: Path
    start: int
    checksums: list[int]
    bad: dict[int, str]


class ImageCache:
    """The shards of one split.

    Args:
        folder: where shards are kept.
        images: the files of the split.
        decoding: how they become arrays.
        shape: the shape of an array.
        keep_images: whether shards hold images, or only the errors of damaged files.
    """

    def __init__(
        self,
        folder: Path,
        images: EncodedImages,
        decoding: Decoding,
        shape: tuple[int, ...],
        *,
        keep_images: bool,
    ):
        self._folder, self._images = folder, images
        self._shape, self._dtype = shape, decoding.dtype
        self._keep_images = keep_images
        self._image_bytes = math.prod(shape) * decoding.dtype.itemsize
        most = SHARD_BYTES // self._image_bytes
        self.shard_files = min(max(1, most), SHARD_FILES)
        self._count = -(-len(images) // self.shard_files)
        self._shards: list[Shard | None] = [None] * self._count
        self._paths: list[Path | None] = [None] * self._count
        kind = "images" if keep_images else "checked"
        self._how = [kind, versions(), decoding._asdict(), shape]
        self._problem = ""

    @property
    def problem(self) -> str:
        """Why not all files are in the cache; empty if they are."""
        if self._problem or None not in self._paths:
            return self._problem
        return "some of its files changed just now, or have no stamp to detect changes"

    def __len__(self) -> int:
        return self._count

    def files(self, number: int) -> range:
        """The files of a shard."""
        start = number * self.shard_files
        return range(start, min(start + self.shard_files, len(self._images)))

    def find(self, number: int) -> Shard | None:
        """The shard with this number, if it is on disk and its header is intact."""
        path = self._paths[number] = self._path(number)
        if path is not None:
            self._shards[number] = self._open(path, len(self.files(number)))
        return self._shards[number]

    def _path(self, number: int) -> Path | None:
        """The path of a shard; ``None`` if its files cannot be identified."""
        files = self.files(number)
        stamps = [self._images.stamp(file) for file in files]
        if None in stamps:
            return None
        names = [str(self._images.names[file]) for file in files]
        key = json.dumps([self._how, stamps, names])
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.images"

    def _open(self, path: Path, count: int) -> Shard | None:
        try:
            with open_regular(path, follow_links=False) as file:
                size = os.fstat(file.fileno()).st_size
                fixed = file.read(len(MAGIC) + 2 * _LENGTH)
                length = int.from_bytes(fixed[len(MAGIC) : -_LENGTH], "little")
                start = len(fixed) + length
                images = count * self._image_bytes if self._keep_images else 0
                if not fixed.startswith(MAGIC) or size != start + images:
                    return None
                text = file.read(length)
            if zlib.crc32(text) != int.from_bytes(fixed[-_LENGTH:], "little"):
                return None
            header = json.loads(text)
            bad = {int(place): reason for place, reason in header["bad"].items()}
            return Shard(path, start, header["checksums"], bad)
        except (OSError, ValueError):
            return None

    def store(self, number: int, decoded: Sequence[np.ndarray | DataError]) -> None:
        """Writes a shard; once a write fails, no more shards are written.

        Args:
            number: the number of the shard. ``find`` must have been called before its
                files were read, and must not have found it.
            decoded: the images of its files in order, or their errors.
        """
        path = None if self._problem else self._paths[number]
        if path is None:
            return
        bad = {i: str(x) for i, x in enumerate(decoded) if isinstance(x, DataError)}
        content = []
        if self._keep_images:
            none = np.zeros(self._shape, self._dtype)
            content = [
                none.tobytes() if isinstance(x, DataError) else x.tobytes()
                for x in decoded
            ]
        checksums = [zlib.crc32(image) for image in content]
        header = json.dumps({"bad": bad, "checksums": checksums}).encode()
        length = len(header).to_bytes(_LENGTH, "little")
        check = zlib.crc32(header).to_bytes(_LENGTH, "little")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, b"".join([MAGIC, length, check, header, *content]))
        except OSError as error:
            cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
            self._problem = (
                f"{self._folder} cannot be written ({cause.strerror or cause})"
            )
            return
        start = len(MAGIC) + 2 * _LENGTH + len(header)
        self._shards[number] = Shard(path, start, checksums, bad)

    def read(self, file: int) -> np.ndarray | None:
        """The image of a file; ``None`` if it is not cached, or damaged.

        Threads may call this at the same time.
        """
        number, place = divmod(file, self.shard_files)
        shard = self._shards[number]
        if shard is None or not shard.checksums or place in shard.bad:
            return None
        try:
            with open_regular(shard.path, follow_links=False) as opened:
                start = shard.start + place * self._image_bytes
                content = os.pread(opened.fileno(), self._image_bytes, start)
        except OSError:
            return None
        if zlib.crc32(content) != shard.checksums[place]:
            return None
        return np.frombuffer(content, self._dtype).reshape(self._shape)
