"""The threads that decode: kept, ended with the data, and not missed after a fork."""

import subprocess
import sys
import threading

import numpy as np

from cnnjax.data.image_files import FileSettings
from tests.support.data.pictures import write_folder
from tests.support.data.tables import load


def decoders():
    return {t for t in threading.enumerate() if t.name.startswith("cnnjax decoding")}


def test_threads_are_kept_and_end_with_the_data(tmp_path):
    before = decoders()
    files = FileSettings((12, 16), workers=2)
    data = load(f"folder:{write_folder(tmp_path / 'set')}", True, files)
    started = decoders() - before
    for _ in range(3):
        data.train.images[:5]
        data.test.images[:2]
        assert decoders() - before == started
    assert 1 <= len(started) <= 2
    del data
    for thread in started:
        thread.join(timeout=5)
        assert not thread.is_alive()


PROGRAM = """
import os, sys
from cnnjax.data.image_files import FileSettings
from tests.support.data.tables import load
data = load("folder:" + sys.argv[1], True, FileSettings((12, 16), workers=2)).train
expected = data.images[:].tobytes()
child = os.fork()
if not child:
    os._exit(0 if data.images[:].tobytes() == expected else 1)
assert os.waitpid(child, 0)[1] == 0
assert data.images[:].tobytes() == expected
print("the same")
"""


def test_a_fork_decodes_with_threads_of_its_own(tmp_path):
    """And the program ends with its threads still there."""
    folder = write_folder(tmp_path / "set")
    words = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(folder)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "the same\n"), ended.stderr


def test_many_threads_may_read_at_the_same_time(tmp_path):
    files = FileSettings((12, 16), workers=2)
    images = load(f"folder:{write_folder(tmp_path / 'set')}", True, files).train.images
    expected, found = images[:], []
    threads = [
        threading.Thread(target=lambda: found.append(images[:])) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 8
    for array in found:
        np.testing.assert_array_equal(array, expected)
