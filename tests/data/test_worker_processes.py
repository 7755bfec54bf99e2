"""Worker processes: the same batches, and nothing left of them, however a run ends."""

import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from cnnjax.data import Split, StreamedImages, train_batches
from cnnjax.data.image_files import FileSettings
from cnnjax.errors import DataError
from tests.data.test_stream import assert_same
from tests.support.data.arrays_on_disk import load as load_arrays
from tests.support.data.arrays_on_disk import write_idx, write_npz
from tests.support.data.pictures import write_folder
from tests.support.data.tables import add, load

N = 40
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 4, 3, 2), np.uint8)
LABELS = np.arange(N, dtype=np.int32)


def split(read):
    shape = IMAGES.shape[1:]
    return Split(StreamedImages("own", read, shape, IMAGES.dtype, LABELS), LABELS)


@pytest.fixture
def batches():
    """Training batches, whose processes end with the test."""
    return lambda data, processes=2, steps=9: train_batches(
        data, 8, 3, 2, steps, processes=processes
    )


def as_tar(folder, path):
    with tarfile.open(path, "w") as tar:
        for file in sorted(folder.glob("*/*")):
            add(tar, f"{file.parent.name}/{file.name}", file.read_bytes())
            label = file.parent.name.encode()
            add(tar, f"{file.parent.name}/{file.stem}.cls", label)
    return f"tar:{path}"


def as_parquet(folder, path):
    files = sorted(folder.glob("*/*"))
    table = {"image": [{"bytes": file.read_bytes(), "path": None} for file in files]}
    table["label"] = [file.parent.name for file in files]
    parquet.write_table(pyarrow.table(table), path)
    return f"parquet:{path}"


@pytest.mark.slow
@pytest.mark.parametrize("part", [None, (0.1, 1.0)])
@pytest.mark.parametrize(
    "make", [lambda folder, path: f"folder:{folder}", as_tar, as_parquet]
)
def test_image_files_are_the_same_with_any_number_of_processes(
    tmp_path, batches, make, part
):
    folder = write_folder(tmp_path / "set", count=25, ending=".jpg")
    source = make(folder, tmp_path / "file")
    files = FileSettings((12, 16), part=part)
    data = load(source, True, files._replace(workers=3)).train
    expected = [*batches(data, 0)]
    for processes in (1, 4):
        assert_same(batches(data, processes), expected)
    assert_same(batches(load(source, True, files._replace(workers=0)).train), expected)


@pytest.mark.parametrize("write", [write_idx, write_npz])
def test_arrays_are_the_same(tmp_path, batches, write):
    data = load_arrays(write(tmp_path, "u1")).train
    assert_same(batches(data), [*batches(data, 0)])


def test_a_loader_of_one_s_own_runs_in_other_processes(batches):
    where = {"process": os.getpid()}

    def read(numbers):  # a closure, which is sent by value
        assert os.getpid() != where["process"], "it ran in this process"
        print("a loader may print")
        return IMAGES[numbers]

    found = [*batches(split(read))]
    assert_same(found, [*batches(Split(IMAGES, LABELS), 0)])


def test_images_in_memory_need_no_processes(batches):
    before = children()
    loaded = batches(Split(IMAGES, LABELS))
    next(loaded)
    assert children() == before


def children():
    """The processes that this one has started and that live."""
    words = ["ps", "-ww", "--ppid", str(os.getpid()), "-o", "pid=", "-o", "args="]
    lines = subprocess.run(words, capture_output=True, text=True).stdout.splitlines()
    return {line.split()[0] for line in lines if "cnnjax.data.worker" in line}


def test_processes_end_with_their_iterator(batches):
    loaded = batches(split(lambda numbers: IMAGES[numbers]), 3, 10**6)
    next(loaded)
    assert len(children()) == 3
    del loaded
    wait_until(lambda: not children())


def wait_until(is_over, seconds=20):
    deadline = time.monotonic() + seconds
    while not is_over():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DataError("image 7 is gone"), "^image 7 is gone$"),
        (KeyError("seven"), "^loading data failed: KeyError: 'seven'$"),
    ],
)
def test_an_error_is_passed_on_and_ends_it(batches, error, message):
    def read(numbers):
        if 7 in numbers:
            raise error
        return IMAGES[numbers]

    loaded = batches(split(read))
    with pytest.raises(DataError, match=message):
        list(loaded)
    assert next(loaded, None) is None


def test_a_process_that_dies_is_an_error(batches):
    def read(numbers):
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(DataError, match=r"ended \(signal 9\): if it ran out of memory"):
        next(batches(split(read)))


def test_what_cannot_be_sent_is_refused_at_once(batches):
    lock = threading.Lock()

    def read(numbers):
        with lock:
            return IMAGES[numbers]

    with pytest.raises(DataError, match=r"is 2, but the data cannot be sent to other"):
        batches(split(read))


class OnlyHere(io.RawIOBase):
    """Can be sent, but not received."""

    def __reduce__(self):
        return exec, ("raise ValueError('not here')",)


def test_what_cannot_be_received_is_an_error(batches):
    only = OnlyHere()
    with pytest.raises(DataError, match="ValueError: not here"):
        next(batches(split(lambda numbers: (only, IMAGES[numbers])[1])))


# Without a guard for the name of the main module, which other processes may import.
PROGRAM = """
import sys, time
import numpy as np
from cnnjax.data import Split, StreamedImages, train_batches
import jax
jax.numpy.ones(3).block_until_ready()  # which starts threads
images = np.zeros((64, 200, 200, 3), np.uint8)
pauses = [float(word) for word in sys.argv[1:]]
def read(numbers):
    time.sleep(pauses[0])
    return images[numbers]
numbers = np.arange(64, dtype=np.int32)
streamed = StreamedImages("own", read, images.shape[1:], images.dtype, numbers)
batches = train_batches(Split(streamed, numbers), 16, 0, processes=3)
next(batches)
print("ready", flush=True)
for batch in batches:
    time.sleep(pauses[1])
"""


def group(number):
    """The processes of a process group."""
    words = ["ps", "-e", "-o", "pgid=,stat=,args="]
    lines = subprocess.run(words, capture_output=True, text=True).stdout.splitlines()
    rows = [line.split(maxsplit=2) for line in lines]
    return [
        args for pgid, state, args in rows if pgid == str(number) and "Z" not in state
    ]


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(("read", "step"), [("0", "0"), ("0", "9"), ("1", "0")])
def test_a_killed_program_leaves_no_process(ending, read, step):
    """Whether its workers wait to be asked, wait to answer, or load."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, read, step],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout and process.stdout.readline() == "ready\n"
    assert len(group(process.pid)) == 4
    time.sleep(0.3)
    process.send_signal(ending)
    process.wait()
    wait_until(lambda: not group(process.pid))
    process.communicate()


def test_workers_outlive_the_signals_that_stop_a_run(batches):
    loaded = batches(split(lambda numbers: IMAGES[numbers]), 2, 200)
    next(loaded)
    for child in children():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            os.kill(int(child), number)
    assert len([*loaded]) == 199
