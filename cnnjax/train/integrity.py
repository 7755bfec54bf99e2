"""Whether a state on disk is whole and of the right network, and finds room there."""

import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnnjax.train.names import named_leaves

SPARE_BYTES = 200_000  # for what describes the arrays


class CheckpointError(RuntimeError):
    """A state that cannot be written, or that is of another network."""


def checksums(arrays: Mapping[str, Any]) -> dict[str, int]:
    """The CRC-32 of each array's bytes, by its name."""
    return {
        name: zlib.crc32(np.ascontiguousarray(leaf).tobytes())
        for name, leaf in named_leaves(arrays)
    }


def check_sums(arrays: Mapping[str, Any], noted: Mapping[str, int]) -> None:
    """Refuses arrays that are not those whose checksums were noted.

    Raises:
        ValueError: names the first that differs.
    """
    for name, value in checksums(arrays).items():
        if noted.get(name) != value:
            raise ValueError(f"the checksum of {name} differs")


def check_shapes(stored: Any, like: Mapping[str, Any], place: Path) -> None:
    """Refuses a state whose arrays are not those of ``like``.

    Args:
        stored: the tree of shapes on disk.
        like: a state of the right network and optimizer.
        place: the folder, for the message.

    Raises:
        CheckpointError: names the first array that differs.
        ValueError: there are none on disk, so that it is damaged.
    """
    shapes = {name: tuple(leaf.shape) for name, leaf in named_leaves(stored)}
    if not shapes:
        raise ValueError("it describes no arrays")
    expected = {name: leaf.shape for name, leaf in named_leaves(like)}
    for name in [*expected, *shapes]:
        if shapes.get(name) != expected.get(name):
            raise CheckpointError(
                f"{place} is of another network or optimizer: at {name} it holds"
                f" {_shape(shapes.get(name))}, expected {_shape(expected.get(name))};"
                " use the config of that run, or another --workdir"
            )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "nothing" if shape is None else f"shape {shape}"


def check_room(folder: Path, arrays: Any) -> None:
    """Refuses a save that the disk has no room for, before half of it is written.

    Raises:
        OSError: with the room there is and the room it takes.
    """
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays)) + SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            f"the disk of {folder} has {free / 1e6:.1f} MB left, a checkpoint takes up"
            f" to {needed / 1e6:.1f} MB; make room, or lower checkpoint.keep"
        )
