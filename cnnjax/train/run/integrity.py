"""Whether a state on disk is whole, of the right network, and readable here."""

import json
import re
import shutil
import zlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnnjax import __version__
from cnnjax.config.files import flatten
from cnnjax.errors import CheckpointError
from cnnjax.json_file import read_json
from cnnjax.train.step.state import named_leaves

SEAL = "notes_checksum"
SPARE_BYTES = 200_000  # for what describes the arrays
# Settings that the arrays of a state depend on.
SHAPING = ("model.", "optimizer.", "average_decay", "data.", "precision")


def checksums(arrays: Mapping[str, Any]) -> dict[str, int]:
    """The CRC-32 of each array's bytes, by its name."""
    return {
        name: zlib.crc32(np.ascontiguousarray(leaf).tobytes())
        for name, leaf in named_leaves(arrays)
    }


def check_sums(arrays: Mapping[str, Any], noted: Mapping[str, int]) -> None:
    """Refuses arrays whose checksums are not the noted ones.

    Raises:
        ValueError: names the first array that differs.
    """
    for name, value in checksums(arrays).items():
        if noted.get(name) != value:
            raise ValueError(f"the checksum of {name} differs")


def seal(notes: Mapping[str, Any], arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The notes of a checkpoint with versions, and checksums of its arrays and of them.

    ``check_sums`` and ``check_seal`` check the latter.
    """
    notes = {**notes, "versions": our_versions(), "checksums": checksums(arrays)}
    return {**notes, SEAL: _sum_of_text(notes)}


def check_seal(notes: Mapping[str, Any]) -> dict[str, Any]:
    """The notes without their checksum; older checkpoints have none.

    Raises:
        ValueError: the notes are not those that were written.
    """
    content = {key: value for key, value in notes.items() if key != SEAL}
    if SEAL in notes and notes[SEAL] != _sum_of_text(content):
        raise ValueError("the checksum of its notes differs")
    return content


def _sum_of_text(notes: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(notes, sort_keys=True).encode())


def check_arrays(
    stored: Mapping[str, Any],
    like: Mapping[str, Any],
    checkpoint: Path,
    changes: str = "",
) -> None:
    """Refuses a state whose arrays are not those of ``like``, before it is read.

    Args:
        stored: what is on disk: arrays, or shapes and dtypes, by name.
        like: a state of the right network and optimizer, by name.
        checkpoint: its folder, for the message.
        changes: settings that have changed, in words.

    Raises:
        CheckpointError: names the first array that differs.
        ValueError: there are no arrays on disk, so the checkpoint is damaged.
    """
    if not stored:
        raise ValueError("it describes no arrays")
    for name in [*like, *stored]:
        has, expected = _describe(stored.get(name)), _describe(like.get(name))
        if has != expected:
            cause = _cause(name, stored.get(name), like.get(name), changes)
            raise CheckpointError(
                f"{checkpoint} cannot be resumed here and was not changed: {name}"
                f" has {has}, expected {expected}; {cause}"
            )


def _describe(array: Any) -> str:
    if array is None:
        return "nothing"
    return f"shape {tuple(array.shape)} of {np.dtype(array.dtype)}"


def _cause(name: str, has: Any, expected: Any, changes: str) -> str:
    """Why the state differs, and what to do."""
    again = f"{changes}; set it back" if changes else "use the config of that run"
    if has is None or expected is None:
        return (
            f"it belongs to another network or optimizer: {again}, or another --workdir"
        )
    if name == "key" and has.shape != expected.shape:
        return "restore JAX_DEFAULT_PRNG_IMPL, or give another --workdir"
    if tuple(has.shape) != tuple(expected.shape):
        return (
            f"it belongs to another network or optimizer: {again}, or another --workdir"
        )
    sizes = np.dtype(has.dtype).itemsize, np.dtype(expected.dtype).itemsize
    if 8 in sizes:
        then = "with JAX_ENABLE_X64=1" if sizes[0] == 8 else "without JAX_ENABLE_X64"
        return f"it was written {then}: restore that setting"
    return f"it was written with another precision: {again}, or another --workdir"


def none_is_whole(folder: Path, reasons: Mapping[int, str]) -> CheckpointError:
    """The error if no checkpoint can be read.

    Args:
        folder: of all of them.
        reasons: why not, by step.
    """
    each = "; ".join(f"step {step}: {reason}" for step, reason in reasons.items())
    return CheckpointError(
        f"no intact checkpoint in {folder} ({each}); nothing was moved. If the disk or"
        " this process is at fault, fix that and rerun the same command; to start a new"
        f" run, give another --workdir, or move {folder.parent} away"
    )


def check_room(folder: Path, arrays: Any) -> None:
    """Refuses a save for which the disk has no room, before half of it is written.

    Raises:
        OSError: with the free space and the space that a checkpoint needs.
    """
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays)) + SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            f"the disk of {folder} has {free / 1e6:.1f} MB left, a checkpoint takes up"
            f" to {needed / 1e6:.1f} MB; make room, or lower checkpoint.keep"
        )


def our_versions() -> dict[str, str]:
    """The versions of the packages that write checkpoints here."""
    return {"cnnjax": __version__, "orbax-checkpoint": version("orbax-checkpoint")}


def refuse_newer(checkpoint: Path, reason: str) -> None:
    """Refuses an unreadable checkpoint if a newer version wrote it.

    Args:
        checkpoint: a folder that cannot be read.
        reason: why it cannot be read.

    Raises:
        CheckpointError: a newer version wrote it.
    """
    try:
        written = read_json(checkpoint / "notes" / "metadata")["versions"]
        newer = [
            f"{name} {written[name]}, newer than {ours} here"
            for name, ours in our_versions().items()
            if _numbers(written[name]) > _numbers(ours)
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return  # it does not say, or is damaged itself
    if newer:
        raise CheckpointError(
            f"{checkpoint} was written by {newer[0]}, and cannot be read ({reason});"
            " install that version, or move the checkpoint away to use the one before"
        )


def _numbers(text: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", text)[:3]]


def changed_settings(notes: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """The settings that shape a state and differ from the noted ones, in words."""
    noted = notes.get("config")
    before = dict(flatten(noted)) if isinstance(noted, Mapping) else {}
    changes = [
        f"{name} was {before.get(name)!r} and is {value!r}"
        for name, value in flatten(settings)
        if before and name.startswith(SHAPING) and before.get(name) != _as_json(value)
    ]
    return ", ".join(changes)


def _as_json(value: Any) -> Any:
    return [*map(_as_json, value)] if isinstance(value, tuple) else value
