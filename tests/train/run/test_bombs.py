"""Files that promise, or hold, more than there is memory for."""

import struct
import zipfile
import zlib

import pytest

from tests.support.data.file_bytes import npy_header
from tests.support.train.faults import SHORT, error, train, train_measured, write_idx

LIMIT_MB = 400  # of which the libraries take 200


def deflated(start, byte, num_bytes):
    """A stream that unpacks to ``start`` and more of one byte, made in no time."""
    chunk = 2**26
    content = b""
    for part, times in ((start, 1), (byte * chunk, num_bytes // chunk)):
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        # A full flush forgets what was before, so that the piece can be repeated.
        content += (packer.compress(part) + packer.flush(zlib.Z_FULL_FLUSH)) * times
    return content + zlib.compressobj(9, zlib.DEFLATED, -15).flush()


def write_bomb(path, content, promised):
    """An archive whose ``images.npy`` is packed ``content`` of ``promised`` bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("labels.npy", npy_header((100,)) + bytes(range(5)) * 20)
        info = zipfile.ZipInfo("images.npy")
        archive.writestr(info, content)
        info.compress_type, info.file_size = zipfile.ZIP_DEFLATED, promised
    return f"npz:{path}"


def ten_gib_of_zeros(folder):
    start = npy_header((100, 10 * 2**30 // 100))
    content = deflated(start, b"\0", 10 * 2**30)
    return write_bomb(folder / "set.npz", content, 10 * 2**30)


def ten_gib_that_say_they_are_few(folder):
    start = npy_header((100, 8, 8))
    content = deflated(start, b"\0", 10 * 2**30)
    return write_bomb(folder / "set.npz", content, len(start) + 6400)


def header_of_one_gib(folder):
    """The text before the array has a length of its own, which may be huge."""
    start = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**30)
    content = deflated(start, b" ", 2**30)
    return write_bomb(folder / "set.npz", content, len(start) + 2**30)


def huge_idx(folder):
    path = write_idx(folder)
    path.write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", *[2**32 - 1] * 3))
    return f"idx:{folder}"


def huge_idx_of_no_pixels(folder):
    """No bytes follow, as one size is 0; the others are huge."""
    path = write_idx(folder)
    path.write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 0))
    return f"idx:{folder}"


def huge_labels(folder):
    write_idx(folder)
    content = bytes([0, 0, 8, 1]) + struct.pack(">I", 2**32 - 1)
    (folder / "train-labels-idx1-ubyte").write_bytes(content)
    return f"idx:{folder}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        ten_gib_of_zeros,
        ten_gib_that_say_they_are_few,
        header_of_one_gib,
        huge_idx,
        huge_idx_of_no_pixels,
        huge_labels,
    ],
)
def test_a_bomb_is_refused_before_memory_is_taken(tmp_path, make):
    (tmp_path / "data").mkdir()
    status, err, peak = train_measured(tmp_path / "run", make(tmp_path / "data"))
    assert status == 2, err[-500:]
    assert err.startswith("cnnjax: error: ")
    assert err.count("\n") == 1
    assert str(tmp_path / "data") in err
    assert peak < LIMIT_MB
    assert not (tmp_path / "run").exists()


def test_a_size_beyond_all_memory_is_refused(tmp_path, capfd):
    for source in (
        "synthetic:99999999x99999999x3,10,99999999",
        "synthetic:9x9x1,9," + "9" * 12,
    ):
        assert train(tmp_path / "run", f"--config.data.source={source}", *SHORT) == 2
        assert "bytes, more than" in error(capfd)
