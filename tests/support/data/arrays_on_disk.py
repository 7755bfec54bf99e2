"""Files of images in formats that can be streamed."""

import struct

import numpy as np

from cnnjax.data import (
    load_dataset,
)

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
N = 60


def images(dtype, n=N, shape=(3, 2)):
    values = np.arange(n * np.prod(shape)) % 127
    return values.reshape(n, *shape).astype(dtype) + np.dtype(dtype).type(0.5)


def labels(n=N):
    return (np.arange(n) % 3).astype(np.uint8)


def idx(x):
    code = CODES[x.dtype.str[1:]]
    header = bytes([0, 0, code, x.ndim]) + struct.pack(f">{x.ndim}I", *x.shape)
    return header + x.astype(x.dtype.newbyteorder(">")).tobytes()


def write_idx(folder, dtype, n=N, shape=(3, 2)):
    rank = 1 + len(shape)
    for name, k in (("train", n), ("t10k", 7)):
        content = idx(images(dtype, k, shape))
        (folder / f"{name}-images-idx{rank}-ubyte").write_bytes(content)
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx(labels(k)))
    return f"idx:{folder}"


def write_npz(folder, dtype, shape=(3, 2)):
    x = images(dtype, shape=shape)
    np.savez(folder / "data.npz", x_train=x, y_train=labels()[:, None])
    return f"npz:{folder / 'data.npz'}"


def write_all_splits(folder, dtype):
    arrays = {}
    for name, n in {"train": N, "val": 9, "test": 7}.items():
        arrays |= {f"x_{name}": images(dtype, n), f"y_{name}": labels(n)}
    np.savez(folder / "data.npz", **arrays)
    return f"npz:{folder / 'data.npz'}"


def load(source, streaming=True):
    return load_dataset(
        source, validation_fraction=0.2, test_fraction=0.3, seed=0, streaming=streaming
    )
