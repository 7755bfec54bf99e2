"""Runs an exported StableHLO file in a separate process, with JAX but without cnnjax.

Batches of images arrive on standard input, and the first output of the program goes to
standard output. The process runs this file as a script, not through the package.
"""

import io
import sys
import zipfile
from typing import IO

import jax
import numpy as np


def main() -> None:
    """Answers batches until standard input ends."""
    sys.modules["cnnjax"] = None  # type: ignore[assignment]  # importing it would fail
    with zipfile.ZipFile(sys.argv[1]) as archive:
        program = jax.export.deserialize(bytearray(archive.read("program.jax")))
    run = jax.jit(program.call)
    while True:
        try:
            images = receive(sys.stdin.buffer)
        except EOFError:
            return
        send(np.asarray(run(images)[0]), sys.stdout.buffer)


def send(array: np.ndarray, stream: IO[bytes]) -> None:
    """Writes one array to a pipe: the number of bytes, then NumPy's format."""
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    stream.write(len(content.getvalue()).to_bytes(8, "big"))
    stream.write(content.getvalue())
    stream.flush()


def receive(stream: IO[bytes]) -> np.ndarray:
    """Reads one array from a pipe.

    Raises:
        EOFError: the pipe has ended.
    """
    size = int.from_bytes(stream.read(8), "big")
    content = stream.read(size)
    if not size or len(content) < size:
        raise EOFError
    return np.load(io.BytesIO(content), allow_pickle=False)


if __name__ == "__main__":
    main()
