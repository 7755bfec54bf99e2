"""IDX files: real ones, small ones, and damaged ones."""

import gzip
import resource
import struct
from pathlib import Path

import numpy as np
import pytest

from cnnjax.data import load_dataset
from cnnjax.data.sources.idx import read_idx
from cnnjax.errors import DataError
from tests.support.data.file_bytes import idx

FASHION = Path("/usr/share/datasets/fashion-mnist")
IMAGES = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)
LABELS = np.array([0, 2, 1, 2], np.uint8)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(LABELS))
    (tmp_path / "t10k-images.idx3-ubyte").write_bytes(idx(IMAGES[:2]))
    (tmp_path / "t10k-labels.idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS[:2])))
    return tmp_path


def load(source):
    return load_dataset(source, validation_fraction=0.5, test_fraction=0.0, seed=0)


def test_fashion_mnist():
    if not FASHION.is_dir():
        pytest.fail(f"{FASHION} is missing: apt-get install dataset-fashion-mnist")
    dataset = load_dataset(
        f"idx:{FASHION}", validation_fraction=1 / 12, test_fraction=0.0, seed=0
    )
    assert dataset.num_classes == 10
    assert [s.images.shape for s in dataset[:3]] == [
        (55000, 28, 28, 1),
        (5000, 28, 28, 1),
        (10000, 28, 28, 1),
    ]
    assert np.bincount(dataset.validation.labels).tolist() == [500] * 10
    assert dataset.test.labels[:5].tolist() == [9, 2, 1, 1, 6]


def test_usual_names_with_and_without_gzip(folder):
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(LABELS // 2))
    dataset = load(f"idx:{folder}?classes=3")
    assert dataset.num_classes == 3
    np.testing.assert_array_equal(dataset.test.images, IMAGES[:2, :, :, None])
    np.testing.assert_array_equal(dataset.test.labels, LABELS[:2])


@pytest.mark.parametrize(
    ("code", "dtype"),
    [(8, "u1"), (9, "i1"), (11, "i2"), (12, "i4"), (13, "f4"), (14, "f8")],
)
def test_types_and_ranks(tmp_path, code, dtype):
    x = (np.arange(24) - 3).reshape(2, 1, 4, 3).astype(dtype)
    (tmp_path / "x").write_bytes(idx(x, code))
    y = read_idx(tmp_path / "x")
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, x)


def test_images_with_channels(folder):
    x = np.arange(48, dtype=np.uint8).reshape(4, 3, 2, 2)
    (folder / "train-images-idx3-ubyte.gz").rename(folder / "aside")
    (folder / "train-images-idx4-ubyte").write_bytes(idx(x))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(LABELS // 2))
    with pytest.raises(DataError, match=r"test images are .*all splits need the same"):
        load(f"idx:{folder}")


def test_missing_file_names_what_was_looked_for(folder):
    (folder / "t10k-labels.idx1-ubyte.gz").unlink()
    with pytest.raises(
        DataError, match=r"no file named t10k-labels-idx1-ubyte, .*\.gz"
    ):
        load(f"idx:{folder}")


def test_counts_have_to_agree(folder):
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(LABELS[:3]))
    with pytest.raises(DataError, match=r"labels of shape \(3,\).* 4 images"):
        load(f"idx:{folder}")


def test_images_have_rank_three_or_four(folder):
    (folder / "train-images-idx3-ubyte.gz").write_bytes(idx(IMAGES[0]))
    with pytest.raises(DataError, match=r"shape \(3, 2\): expected \(n, h, w\)"):
        load(f"idx:{folder}")


def test_label_out_of_range_is_named(folder):
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(LABELS + np.uint8(9)))
    with pytest.raises(DataError, match=r"train label 1 is 11: .* 0 to 9"):
        load(f"idx:{folder}?classes=10")


PLAIN, ZIPPED = idx(IMAGES), gzip.compress(idx(IMAGES), mtime=0)
HUGE = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**31, 2**31)
LARGE = bytes([0, 0, 8, 3]) + struct.pack(">3I", 7000, 1000, 1000)
DAMAGED = {
    "empty": (b"", "starts with the bytes 0x"),
    "magic": (b"\x01" + PLAIN[1:], "starts with the bytes 0x01000803"),
    "type": (b"\0\0\x07" + PLAIN[3:], "starts with the bytes 0x00000703"),
    "header": (PLAIN[:9], "ends within its header"),
    "short": (PLAIN[:-1], "ends after 23 of the 24 bytes"),
    "long": (PLAIN + b"\0", "continues after the 24 bytes"),
    "short in gzip": (gzip.compress(PLAIN[:-1]), "ends after 23 of the 24 bytes"),
    "long in gzip": (gzip.compress(PLAIN + b"\0"), "continues after the 24 bytes"),
    "truncated gzip": (ZIPPED[:-12], "cannot be read .*download it again"),
    "gzip checksum": (ZIPPED[:-8] + b"0000" + ZIPPED[-4:], "CRC check failed"),
    "gzip header": (ZIPPED[:2] + b"\x09" + ZIPPED[3:], "cannot be read"),
    "gzip data": (ZIPPED[:20] + b"\xff" * 9 + ZIPPED[29:], "x "),
    "huge": (HUGE, "declares 9,903,520,314,283,042,199,192,993,792 bytes"),
    "huge in gzip": (gzip.compress(HUGE), "declares .* bytes, more than"),
    "large": (LARGE, "too small to hold more"),
    "large in gzip": (gzip.compress(LARGE), "too small to hold more"),
    "rank": (bytes([0, 0, 8, 200]) + bytes(800), "0x000008c8: .* a rank from 1 to 4"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files_are_refused(tmp_path, case):
    content, message = DAMAGED[case]
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(tmp_path / "x")


def test_any_flipped_bit_of_a_header_is_refused(tmp_path):
    # The one bit that makes bytes signed leaves a header that fits.
    for bit in set(range(8 * 16)) - {16}:
        content = bytearray(PLAIN)
        content[bit // 8] ^= 1 << bit % 8
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(DataError, match="x "):
            read_idx(tmp_path / "x")


def test_gzip_bomb_takes_no_memory(tmp_path):
    # A file of 2 MB that unpacks to 400 MB, of which its header promises 24 bytes.
    with gzip.GzipFile(tmp_path / "x", "wb", compresslevel=1) as file:
        file.write(PLAIN)
        for _ in range(400):
            file.write(bytes(10**6))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match="continues after the 24 bytes"):
        read_idx(tmp_path / "x")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_unreadable_path(tmp_path):
    with pytest.raises(DataError, match="is a folder, expected a regular file"):
        read_idx(tmp_path)


def test_values_are_read_across_chunks(tmp_path):
    x = (np.arange(2**21 + 5) % 251).astype(np.uint8).reshape(1, -1)
    (tmp_path / "x").write_bytes(gzip.compress(idx(x), 1))
    np.testing.assert_array_equal(read_idx(tmp_path / "x"), x)
