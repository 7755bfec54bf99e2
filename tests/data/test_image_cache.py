"""Decoded images on disk: the same to the bit, never stale, never half-written."""

import errno
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from cnnjax.data import StreamedImages, load_dataset
from cnnjax.data.image_files import FileSettings
from cnnjax.errors import DataError
from tests.support.data.pictures import add_trouble, write_folder
from tests.support.data.tables import FRACTIONS

SIZE = (12, 16)
BAD = {"bomb.png", "cut.jpg", "empty.jpg", "flipped.png", "noise.gif", "page.png"}


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    """Files that were written a moment ago count as settled, and shards are small."""
    monkeypatch.setattr("cnnjax.data.stamps.SETTLED_NS", 0)
    monkeypatch.setattr("cnnjax.data.image_cache.SHARD_FILES", 7)


@pytest.fixture
def pictures(tmp_path):
    folder = write_folder(tmp_path / "set", count=20, ending=".jpg")
    add_trouble(folder / "cat")
    return folder


def read(folder, cache="none", cache_folder=None, streaming=True, **changes):
    files = FileSettings(SIZE, bad_files="skip", workers=2)
    files = files._replace(cache=cache, cache_folder=cache_folder, **changes)
    source = f"folder:{folder}"
    return load_dataset(source, **FRACTIONS, streaming=streaming, files=files)


def assert_same(dataset, other):
    for split, expected in zip(dataset[:3], other[:3], strict=True):
        np.testing.assert_array_equal(split.labels, expected.labels)
        assert split.images[:].dtype == expected.images[:].dtype
        assert split.images[:].tobytes() == expected.images[:].tobytes()


@pytest.fixture
def counted(monkeypatch):
    """The names of the files that are decoded."""
    from cnnjax.data import file_reader

    names, decode = [], file_reader.decode

    def counting(content, decoding, name, choose=None):
        names.append(os.path.basename(name))
        return decode(content, decoding, name, choose)

    monkeypatch.setattr(file_reader, "decode", counting)
    return names


@pytest.mark.parametrize("streaming", [True, False])
def test_cached_images_are_the_same_and_are_not_decoded_again(
    tmp_path, pictures, counted, streaming
):
    expected = read(pictures, streaming=streaming)
    arrays = [split.images[:] for split in expected[:3]]
    assert_same(read(pictures, "disk", tmp_path / "c", streaming), expected)
    del counted[:]
    found = read(pictures, "disk", tmp_path / "c", streaming)
    for split, array in zip(found[:3], arrays, strict=True):
        assert split.images[:].tobytes() == array.tobytes()
    # Where arrays are kept, bad files are looked at again.
    assert {*counted} <= (set() if streaming else BAD)
    assert_same(found, expected)
    assert isinstance(found.train.images, StreamedImages) == streaming
    assert found.notes == expected.notes
    assert "skipped 9 bad files" in found.notes[-1]


def test_in_memory_they_are_the_same(pictures, counted):
    expected = read(pictures)
    found = read(pictures, "memory")
    assert_same(found, expected)
    assert isinstance(found.train.images, np.ndarray)


def test_a_start_checks_only_what_is_new(tmp_path, pictures, counted):
    folder = tmp_path / "checks"
    expected = read(pictures, cache_folder=folder)
    del counted[:]
    found = read(pictures, cache_folder=folder)
    assert counted == []
    assert found.notes == expected.notes
    assert sum(path.stat().st_size for path in folder.iterdir()) < 10_000
    assert_same(found, expected)
    del counted[:]
    (pictures / "dog" / "19.jpg").write_bytes(b"no image")
    changed = read(pictures, cache_folder=folder)
    assert "19.jpg" in counted and len(counted) <= 7  # those of its shard
    assert "skipped 10 bad files" in changed.notes[-1]


CHANGES = {
    "size": lambda path: read(path, size=(16, 12)),
    "resize": lambda path: read(path, resize="pad"),
    "crop": lambda path: read(path, crop_fraction=0.5),
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_settings_are_cached_apart(tmp_path, pictures, name):
    changes = {"size": {"size": (16, 12)}, "resize": {"resize": "pad"}}
    changed = changes.get(name, {"crop_fraction": 0.5})
    read(pictures, "disk", tmp_path / "c")
    expected = CHANGES[name](pictures)
    assert_same(read(pictures, "disk", tmp_path / "c", **changed), expected)


@pytest.mark.parametrize("version", ["PIL.__version__", "cnnjax.data.decoding.VERSION"])
def test_another_version_decodes_anew(
    tmp_path, pictures, counted, monkeypatch, version
):
    read(pictures, "disk", tmp_path / "c")
    del counted[:]
    monkeypatch.setattr(version, "99")
    read(pictures, "disk", tmp_path / "c")
    assert len(counted) > 40


def test_a_file_of_the_same_size_and_time_is_noticed(tmp_path, pictures):
    path = pictures / "dog" / "03.jpg"
    Image.new("L", (30, 20), 10).save(path, "BMP")
    before = path.stat()
    read(pictures, "disk", tmp_path / "c")
    Image.new("L", (30, 20), 200).save(path, "BMP")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert_same(read(pictures, "disk", tmp_path / "c"), read(pictures))


def cut(content):
    return content[:-1]


def flip_an_image(content):
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


def flip_the_header(content):
    return content[:40] + bytes([content[40] ^ 1]) + content[41:]


@pytest.mark.parametrize(
    "damage",
    [cut, flip_an_image, flip_the_header, lambda c: b"", lambda c: c[:20], bytes.upper],
)
@pytest.mark.parametrize("cache", ["disk", "none"])
def test_damaged_shards_are_not_used(tmp_path, pictures, damage, cache):
    expected = read(pictures)
    read(pictures, cache, tmp_path / "c")
    for path in (tmp_path / "c").iterdir():
        path.write_bytes(damage(path.read_bytes()))
    for _ in range(2):
        found = read(pictures, cache, tmp_path / "c")
        assert_same(found, expected)
        assert found.notes == expected.notes


def test_shards_that_disappear_during_training_are_replaced_by_files(
    tmp_path, pictures
):
    expected = read(pictures)
    found = read(pictures, "disk", tmp_path / "c")
    for path in (tmp_path / "c").iterdir():
        path.unlink()
    assert_same(found, expected)


def test_a_folder_that_cannot_be_written_is_noted(tmp_path, pictures):
    (tmp_path / "file").touch()
    expected = read(pictures)
    found = read(pictures, "disk", tmp_path / "file" / "c")
    assert_same(found, expected)
    assert "the train split is not cached: " in found.notes[0]
    assert "cannot be written (Not a directory)" in found.notes[0]
    # Nobody asked for the results of the check.
    assert read(pictures, "none", tmp_path / "file" / "c").notes == expected.notes


def test_a_full_disk_is_noted_once_and_training_continues(
    tmp_path, pictures, monkeypatch
):
    from cnnjax.data import image_cache

    write, written = image_cache.write_whole, []

    def fail(path, content):
        written.append(path)
        if len(written) > 2:
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise OSError(f"{path} cannot be written") from full
        write(path, content)

    monkeypatch.setattr(image_cache, "write_whole", fail)
    expected = read(pictures)
    found = read(pictures, "disk", tmp_path / "c")
    assert_same(found, expected)
    assert "No space left on device" in found.notes[0]
    assert len(written) == 3
    assert len([*(tmp_path / "c").iterdir()]) == 2


def test_files_that_changed_just_now_are_not_cached(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr("cnnjax.data.stamps.SETTLED_NS", 10**12)
    found = read(pictures, "disk", tmp_path / "c")
    assert "some of its files changed just now" in found.notes[0]
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("cache", ["disk", "memory"])
def test_random_parts_are_not_cached(tmp_path, pictures, cache):
    with pytest.raises(DataError, match=f"data.cache is '{cache}' with data.random"):
        read(pictures, cache, tmp_path / "c", part=(0.1, 1.0))


PROGRAM = """
import sys
from cnnjax.data import image_cache, stamps
from tests.data.test_image_cache import read
stamps.SETTLED_NS, image_cache.SHARD_FILES = 0, 2
read(sys.argv[1], "disk", __import__("pathlib").Path(sys.argv[2]))
print("done", flush=True)
"""


def start(*paths):
    words = [sys.executable, "-c", PROGRAM, *map(str, paths)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("shards", [0, 1, 5])
def test_a_process_killed_while_it_writes_leaves_nothing_false(
    tmp_path, pictures, monkeypatch, shards
):
    monkeypatch.setattr("cnnjax.data.image_cache.SHARD_FILES", 2)
    folder = tmp_path / "c"
    process = start(pictures, folder)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if folder.is_dir() and len([*folder.iterdir()]) > shards:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    for _ in range(2):
        assert_same(read(pictures, "disk", folder), read(pictures))


@pytest.mark.slow
def test_two_processes_at_the_same_time(tmp_path, pictures, monkeypatch, counted):
    monkeypatch.setattr("cnnjax.data.image_cache.SHARD_FILES", 2)
    processes = [start(pictures, tmp_path / "c") for _ in range(2)]
    for process in processes:
        assert process.communicate(timeout=60)[0] == "done\n"
    assert not [*(tmp_path / "c").glob("*.tmp")]
    found = read(pictures, "disk", tmp_path / "c")
    assert counted == []
    assert_same(found, read(pictures))
