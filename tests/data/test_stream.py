"""Images on disk: the same as in memory, to the bit, and checked when they are read."""

import itertools
import os
import struct
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cnnjax.data import (
    SOURCES,
    STREAMS,
    RawDataset,
    Split,
    StreamedImages,
    eval_batches,
    load_dataset,
    make_dataset,
    measure,
    train_batches,
    train_indices,
)
from cnnjax.data.sources.idx import open_idx
from cnnjax.data.sources.npz import stream_npz
from cnnjax.data.stream import stream_array
from cnnjax.errors import DataError

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


def assert_same(batches, others):
    for batch, other in zip(batches, others, strict=True):
        for x, y in zip(batch, other, strict=True):
            assert isinstance(x, np.ndarray)
            assert (x.dtype, x.shape, x.flags.c_contiguous) == (y.dtype, y.shape, True)
            assert x.dtype.isnative
            assert x.tobytes() == y.tobytes()


SAME = [
    *itertools.product([write_idx], CODES),
    *itertools.product([write_npz], ["u1", "?", ">i4", "<u2", "f2", ">f4", "<f8"]),
    (write_all_splits, "u1"),
    (write_all_splits, "f4"),
]


@pytest.mark.parametrize(("write", "dtype"), SAME)
def test_every_batch_is_that_in_memory(tmp_path, write, dtype):
    source = write(tmp_path, dtype)
    streamed, memory = load(source), load(source, streaming=False)
    for split, other in zip(streamed[:3], memory[:3], strict=True):
        assert isinstance(split.images, StreamedImages)
        assert isinstance(other.images, np.ndarray)
        assert (split.images.shape, split.images.dtype) == (
            other.images.shape,
            other.images.dtype,
        )
        np.testing.assert_array_equal(split.labels, other.labels)
        # The last batch is padded.
        assert_same(eval_batches(split, 4), eval_batches(other, 4))
    n = len(memory.train.labels)
    for start, step in ((0, 2 * n // 5 + 2), (n // 5, 3)):
        assert_same(
            train_batches(streamed.train, 5, 1, start, step),
            train_batches(memory.train, 5, 1, start, step),
        )
    for x, y in zip(
        measure(streamed.train.images), measure(memory.train.images), strict=True
    ):
        assert x.tobytes() == y.tobytes()


@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 3, 2), (4, 3, 2, 1)])
def test_ranks(tmp_path, shape):
    source = write_npz(tmp_path, "u1", shape)
    streamed, memory = load(source), load(source, streaming=False)
    np.testing.assert_array_equal(streamed.test.images[:], memory.test.images)
    np.testing.assert_array_equal(streamed.test.images[-1], memory.test.images[-1])
    assert streamed.test.images[[]].shape == memory.test.images[[]].shape


def test_color_idx(tmp_path):
    source = write_idx(tmp_path, "u1", shape=(4, 3, 2))
    x = load(source).test.images
    np.testing.assert_array_equal(x[1:3], images("u1", 7, (4, 3, 2))[1:3])


def test_a_file_of_20_gb_takes_no_memory(tmp_path):
    n = 20_000
    for name in ("train", "t10k"):
        path = tmp_path / f"{name}-images-idx3-ubyte"
        path.write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", n, 1000, 1000))
        os.truncate(path, 16 + n * 10**6)  # sparse
        with path.open("r+b") as file:
            file.seek(16 + (n - 1) * 10**6)
            file.write(bytes([7]) * 10**6)
        (tmp_path / f"{name}-labels-idx1-ubyte").write_bytes(idx(labels(n)))
    tracemalloc.start()
    dataset = load(f"idx:{tmp_path}")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
    assert dataset.test.images[-1].min() == 7
    assert next(train_batches(dataset.train, 2, 0)).images.shape == (2, 1000, 1000, 1)


def test_threads_may_read_at_once(tmp_path):
    x = load(write_idx(tmp_path, "f4")).test.images
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(x.__getitem__, [[i % 7] for i in range(400)]))
    expected = images("f4", 7)[np.arange(400) % 7]
    np.testing.assert_array_equal(np.concatenate(found)[..., 0], expected)


def read_from_train(dataset):
    return list(train_batches(dataset.train, 30, 0, 0, 9))


def test_truncated_file_is_an_error_and_no_signal(tmp_path):
    dataset = load(write_idx(tmp_path, "u1"))
    path = tmp_path / "train-images-idx3-ubyte"
    os.truncate(path, 100)
    with pytest.raises(DataError, match=r"train-images.* has changed .* 376 to 100"):
        read_from_train(dataset)


def test_rewritten_file(tmp_path):
    dataset = load(write_npz(tmp_path, "u1"))
    os.utime(tmp_path / "data.npz", ns=(1, 1))
    with pytest.raises(DataError, match=r"data\.npz has changed since"):
        read_from_train(dataset)


def test_removed_file(tmp_path):
    dataset = load(write_idx(tmp_path, "u1"))
    (tmp_path / "train-images-idx3-ubyte").unlink()
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte cannot be read any"):
        read_from_train(dataset)


def test_short_reads_are_completed_or_refused(tmp_path, monkeypatch):
    x = load(write_idx(tmp_path, "f4")).test.images
    preadv = os.preadv

    def short(descriptor, buffers, offset):
        return preadv(descriptor, [buffers[0][:5]], offset)

    monkeypatch.setattr(os, "preadv", short)
    np.testing.assert_array_equal(x[:], images("f4", 7)[..., None])
    monkeypatch.setattr(os, "preadv", lambda *_: 0)
    with pytest.raises(DataError, match="now ends within image 3: restore"):
        x[3:]


def test_working_directory_may_change(tmp_path, monkeypatch):
    write_idx(tmp_path, "u1")
    monkeypatch.chdir(tmp_path)
    x = load("idx:.").test.images
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(x[:], images("u1", 7)[..., None])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_value_that_is_not_finite_is_named(tmp_path, value):
    x = images("f4")
    x[41, 2, 1] = value
    np.savez(tmp_path / "data.npz", images=x, labels=labels())
    dataset = load(f"npz:{tmp_path / 'data.npz'}")
    message = r"images in .*data\.npz image 41 holds NaN or infinity"
    with pytest.raises(DataError, match=message):
        for split in dataset[:3]:
            list(eval_batches(split, 9))


def test_integer_out_of_range_is_named(tmp_path):
    x = images("i2", 7)
    x[5] = 256
    write_idx(tmp_path, "i2")
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(x))
    with pytest.raises(
        DataError, match=r"t10k-images.* to 256, for example in image 5"
    ):
        list(eval_batches(load(f"idx:{tmp_path}").test, 4))


def test_gzipped_images_are_refused(tmp_path):
    source = write_idx(tmp_path, "u1")
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\x1f\x8b" + bytes(99))
    with pytest.raises(
        DataError, match=r"train-images.* gunzip, or set data.streaming"
    ):
        load(source)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x: x[:-1],
            r"shape \(2, 3, 2\), 12 bytes, but holds 11: download it again",
        ),
        (lambda x: x + b"0", "but holds 13"),
        (lambda x: x[:9], "ends within its header"),
        (lambda x: b"1" + x, "starts with the bytes"),
        (lambda x: x[:4] + bytes(12), r"has shape \(0, 0, 0\): expected at"),
        (lambda x: x[:4] + b"\xff" * 12, "promises an array of shape .*but holds 0"),
    ],
)
def test_idx_file_keeps_its_promise(tmp_path, change, message):
    (tmp_path / "x").write_bytes(change(idx(images("u1", 2))))
    with pytest.raises(DataError, match=message):
        open_idx(tmp_path / "x")


def test_array_lies_within_its_file(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes(10))
    with path.open("rb") as file:
        x = stream_array("x", path, file, 4, (2, 3), np.dtype(np.uint8))
        with pytest.raises(DataError, match=r"shape \(2, 3\), 6 bytes, but has 5 "):
            stream_array("x", path, file, 5, (2, 3), np.dtype(np.uint8))
    assert x.shape == (2, 3)


def test_compressed_archive_is_refused(tmp_path):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, images=images("u1"), labels=labels())
    with pytest.raises(DataError, match=r"images in .* is compressed.*numpy\.savez, "):
        stream_npz(str(path))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.asfortranarray(images("u1")), "Fortran order"),
        (np.array([{}] * N), "Python objects"),
        (images("u1").astype(complex), "dtype complex128: expected uint8 or float32"),
        (np.array(3), r"has shape \(\): expected at least one image"),
        (images("u1")[:0], "at least one"),
    ],
)
def test_arrays_that_cannot_be_streamed(tmp_path, array, message):
    np.savez(tmp_path / "data.npz", images=array, labels=labels())
    with pytest.raises(DataError, match=f"images in .*data.npz .*{message}"):
        stream_npz(str(tmp_path / "data.npz"))


def test_extra_field_and_content_before_the_archive(tmp_path):
    path, array = tmp_path / "data.npz", tmp_path / "x.npy"
    np.save(array, images("u1"))
    with path.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        info = zipfile.ZipInfo("images.npy")
        info.extra = struct.pack("<2H5s", 0x7777, 5, b"extra")
        archive.writestr(info, array.read_bytes())
        np.save(array, labels())
        archive.write(array, "labels.npy")
    path.write_bytes(b"some bytes in front" + path.read_bytes())
    x = stream_npz(str(path)).train.images
    np.testing.assert_array_equal(x[:], images("u1")[..., None])


def test_damaged_archive_raises_nothing_else(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, images=images("u1", 4), labels=labels(4))
    good = path.read_bytes()
    for index in range(len(good)):
        path.write_bytes(good[:index] + bytes([good[index] ^ 0xFF]) + good[index + 1 :])
        try:
            assert stream_npz(str(path)).train.images[:].dtype == np.uint8
        except DataError:
            continue
    for size in range(0, len(good), 7):
        path.write_bytes(good[:size])
        with pytest.raises(DataError):
            stream_npz(str(path))


@pytest.mark.parametrize("source", ["digits", "glyphs1d", "synthetic:8x8x1,10,64"])
def test_sources_in_memory_say_so(source):
    kind = source.partition(":")[0]
    message = f"'{kind}' is always in memory .*data.streaming to false.* tar, tfds"
    with pytest.raises(DataError, match=message):
        load(source)


def test_own_sources(monkeypatch):
    stored = images("f8")[..., None]
    x = StreamedImages(
        "own", stored.__getitem__, (3, 2, 1), np.dtype(np.float32), np.arange(N)
    )
    monkeypatch.setitem(SOURCES, "own", lambda _: RawDataset(Split(stored, labels())))
    with pytest.raises(DataError, match="'own' is always in memory"):
        load("own")
    monkeypatch.setitem(STREAMS, "own", lambda _: RawDataset(Split(x, labels())))
    assert_same(
        eval_batches(load("own").train, 7),
        eval_batches(load("own", streaming=False).train, 7),
    )


def test_some_splits_in_memory():
    stored = images("u1")[..., None]
    x = StreamedImages(
        "own", stored.__getitem__, (3, 2, 1), np.dtype(np.uint8), np.arange(N)
    )
    train, test = Split(x, labels()), Split(stored, labels())
    dataset = make_dataset(
        RawDataset(train, test=test),
        validation_fraction=0.5,
        test_fraction=0.0,
        seed=0,
    )
    batch = next(train_batches(dataset.train, 9, 4))
    chosen = dataset.train.images.indices[train_indices(N // 2, 9, 4, 0)]
    np.testing.assert_array_equal(batch.images, stored[chosen])
    np.testing.assert_array_equal(batch.labels, labels()[chosen])
