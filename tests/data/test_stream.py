"""Images on disk: the same as in memory, to the bit, and checked when they are read."""

import itertools
import os
import struct
import tracemalloc
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
    make_dataset,
    measure,
    train_batches,
    train_indices,
)
from cnnjax.errors import DataError
from tests.support.data.arrays_on_disk import (
    CODES,
    N,
    idx,
    images,
    labels,
    load,
    write_all_splits,
    write_idx,
    write_npz,
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
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte can no longer be"):
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
