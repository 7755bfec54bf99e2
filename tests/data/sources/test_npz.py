"""NumPy archives: as Keras writes them, with other splits, and damaged."""

import os
import zipfile

import numpy as np
import pytest

from cnnjax.data import load_dataset
from cnnjax.data.sources.npz import load_npz, stream_npz
from cnnjax.errors import DataError
from tests.support.data.file_bytes import npy_header

X = np.arange(60, dtype=np.uint8).reshape(10, 3, 2)
Y = np.arange(10) % 2


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data.npz"


def test_keras_archive(path):
    np.savez_compressed(path, x_train=X, y_train=Y, x_test=X[:4], y_test=Y[:4, None])
    dataset = load_dataset(
        f"npz:{path}", validation_fraction=0.2, test_fraction=0.2, seed=0
    )
    np.testing.assert_array_equal(dataset.test.images, X[:4, :, :, None])
    np.testing.assert_array_equal(dataset.test.labels, Y[:4])
    assert [len(split.labels) for split in dataset[:3]] == [8, 2, 4]


@pytest.mark.parametrize("name", ["val", "validation"])
def test_validation_split(path, name):
    more = {f"x_{name}": X[:3], f"y_{name}": Y[:3]}
    np.savez(path, x_train=X, y_train=Y, **more)
    raw = load_npz(f"{path}?classes=5")
    assert raw.validation is not None
    np.testing.assert_array_equal(raw.validation.labels, Y[:3])
    assert raw.test is None
    assert raw.num_classes == 5


@pytest.mark.parametrize(
    ("shape", "option", "expected"),
    [
        ((6, 4), "", (6, 4, 1)),
        ((6, 4, 3), "", (6, 4, 3, 1)),
        ((6, 4, 3), "?channels=last", (6, 4, 3)),
        ((6, 4, 3, 2), "", (6, 4, 3, 2)),
        ((6, 4, 3, 2), "?channels=none", (6, 4, 3, 2, 1)),
    ],
)
def test_channels(path, shape, option, expected):
    np.savez(path, images=np.asfortranarray(np.ones(shape)), labels=np.arange(6))
    assert load_npz(f"{path}{option}").train.images.shape == expected


def test_channels_has_two_values(path):
    with pytest.raises(DataError, match="channels='first': expected 'last' or 'none'"):
        load_npz(f"{path}?channels=first")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": X}, "no array 'y_train', only x_train"),
        ({"x_train": X, "y_train": Y, "y_test": Y}, "no array 'x_test'"),
        ({"a": X}, "no array 'x_train', only a: expected x_train, y_train"),
        ({}, "only none"),
    ],
)
def test_missing_arrays_are_named(path, arrays, message):
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=message):
        load_npz(str(path))


def test_objects_are_never_unpickled(path):
    np.savez(path, images=X, labels=np.array([{}] * 10))
    with pytest.raises(DataError, match=r"labels in .* Python objects"):
        load_npz(str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy_header((2**20, 2**20)), "declares 1,099,511,627,776 bytes, more than"),
        (npy_header((1000, 7)), r"\(1000, 7\), 7,000 bytes, but holds 0"),
        (npy_header((2, 2)) + bytes(5), "4 bytes, but holds 5"),
        (npy_header((-1, -4)) + bytes(4), "declares an array of shape"),
        (b"no array at all", "cannot be read as a NumPy archive"),
        (b"", "cannot be read as a NumPy archive"),
    ],
)
def test_headers_have_to_keep_their_promise(path, content, message):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", content)
        archive.writestr("labels.npy", npy_header((1,)) + b"0")
    with pytest.raises(DataError, match=message):
        load_npz(str(path))


def test_member_that_unpacks_to_too_much_is_not_unpacked(path, monkeypatch):
    monkeypatch.setattr("cnnjax.data.size.MAX_BYTES", 10**6)
    np.savez_compressed(path, images=np.zeros((2, 10**6)), labels=np.arange(2))
    with pytest.raises(DataError, match=r"images in .* declares 16,000,128 bytes"):
        load_npz(str(path))


def test_file_that_is_missing_or_no_archive(path):
    with pytest.raises(DataError, match="cannot be read as a NumPy archive"):
        load_npz(str(path))
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot be read as a NumPy archive"):
        load_npz(str(path))


def test_a_path_may_begin_with_the_home_folder(path, monkeypatch):
    np.savez(path, images=X, labels=Y)
    monkeypatch.setenv("HOME", str(path.parent))
    np.testing.assert_array_equal(load_npz(f"~/{path.name}").train.labels, Y)


@pytest.mark.parametrize("name", ["a.npz", "caf\udce9.npz"])
def test_a_named_pipe_in_the_archive_s_place_is_not_waited_for(path, name):
    np.savez(path, images=np.stack([X] * 2), labels=np.arange(2))
    place = path.rename(path.with_name(name))
    images = stream_npz(f"{place}?channels=last").train.images
    assert len(images[[0, 1]]) == 2
    place.unlink()
    os.mkfifo(place)
    with pytest.raises(DataError, match="is a named pipe, expected a regular file"):
        images[[0]]
    for load in (load_npz, stream_npz):
        with pytest.raises(DataError, match="is a named pipe, expected a regular file"):
            load(str(place))


def test_a_long_list_of_arrays_is_cut(path):
    np.savez(path, **{f"a{i:03}": X for i in range(300)})
    with pytest.raises(
        DataError, match=r"only a000, .*, a009, \.\.\.: expected"
    ) as caught:
        load_npz(str(path))
    assert "a010" not in str(caught.value)


@pytest.mark.slow
def test_no_damage_gets_through(path):
    np.savez_compressed(path, images=X, labels=Y)
    good = path.read_bytes()
    for index in range(len(good)):
        for mask in (0xFF, 0x01):
            path.write_bytes(
                good[:index] + bytes([good[index] ^ mask]) + good[index + 1 :]
            )
            try:
                raw = load_npz(str(path))
            except DataError:
                continue
            np.testing.assert_array_equal(raw.train.images[..., 0], X)
            np.testing.assert_array_equal(raw.train.labels, Y)
