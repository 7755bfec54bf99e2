"""Values, files and archives that cannot be streamed are refused by name."""

import struct
import zipfile

import numpy as np
import pytest

from cnnjax.data import (
    eval_batches,
)
from cnnjax.data.sources.idx import open_idx
from cnnjax.data.sources.npz import stream_npz
from cnnjax.data.stream import stream_array
from cnnjax.errors import DataError
from tests.support.data.arrays_on_disk import (
    N,
    idx,
    images,
    labels,
    load,
    write_idx,
)


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
        (lambda x: x[:4] + b"\xff" * 12, "declares an array of shape .*but holds 0"),
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


@pytest.mark.slow
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
