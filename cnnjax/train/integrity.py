"""Whether a state on disk is whole and of the right network, and finds room there."""

import json
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnnjax.train.names import named_leaves

SEAL = "notes_checksum"
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


def seal(notes: Mapping[str, Any]) -> dict[str, Any]:
    """The notes of a checkpoint with a checksum of their own, see ``check_seal``."""
    return {**notes, SEAL: _sum_of_text(notes)}


def check_seal(notes: Mapping[str, Any]) -> dict[str, Any]:
    """The notes without their checksum; older checkpoints have none.

    Raises:
        ValueError: notes that are not those that were written.
    """
    content = {key: value for key, value in notes.items() if key != SEAL}
    if SEAL in notes and notes[SEAL] != _sum_of_text(content):
        raise ValueError("the checksum of its notes differs")
    return content


def _sum_of_text(notes: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(notes, sort_keys=True).encode())


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
