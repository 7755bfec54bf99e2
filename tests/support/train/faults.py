"""Help for tests of faults: short runs, ways to damage them, and what is left."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np

from cnnjax.cli import main
from tests.support.data.file_bytes import idx

ROOT = Path(__file__).parents[3]
DIGITS = f"--config={ROOT / 'configs' / 'digits.py'}"
TINY = [
    "--config.model.widths=(4, 8)",
    "--config.model.dense=(16,)",
    "--config.report=('terminal', 'jsonl')",  # no report.html, which takes a second
]
SHORT = [*TINY, "--config.duration=20 steps", "--config.checkpoint.every=5 steps"]
LONGER = [*SHORT, "--config.duration=25 steps"]


class StopAt:
    """Asks a run to stop by a signal to its own process at one step."""

    def __init__(self, recorder, step, number=signal.SIGTERM):
        self.recorder, self.at, self.number = recorder, step, number

    def step(self, record):
        self.recorder.step(record)
        if record["step"] == self.at:
            os.kill(os.getpid(), self.number)

    def __getattr__(self, name):
        return getattr(self.recorder, name)


def leaves(state):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def assert_same(one, other):
    for a, b in zip(leaves(one), leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def train(workdir, *words, config=DIGITS):
    return main(["train", config, f"--workdir={workdir}", *words])


def evaluate(workdir):
    return main(["evaluate", f"--workdir={workdir}"])


def error(capfd):
    """What a refused command says: one paragraph, and no traceback of any thread."""
    err = capfd.readouterr().err
    assert err.startswith("cnnjax: error: "), err
    assert err.count("\n") == 1, err
    return err


def start(workdir, *words):
    command = [
        sys.executable,
        "-m",
        "cnnjax",
        "train",
        "--config=configs/digits.py",
    ]
    settings = ["--config.duration=300 steps", "--config.checkpoint.every=7 steps"]
    return subprocess.Popen(
        [*command, f"--workdir={workdir}", *settings, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_step(workdir, step, seconds=60):
    folder, end = Path(workdir) / "checkpoints", time.monotonic() + seconds
    while time.monotonic() < end:
        names = [path.name for path in folder.glob("*")] if folder.exists() else []
        if any(name.isdigit() and int(name) >= step for name in names):
            return
        time.sleep(0.01)
    raise AssertionError(f"no step {step} in {seconds} s")


def contents(folder):
    """Every file under ``folder`` with what it holds."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def wait_until(holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.005)


def damage_flip(folder):
    """Flips a bit in the middle of each data file; which are in use, Orbax decides."""
    for file in folder.glob("state/**/d/*"):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)


def damage_truncate(folder):
    for file in folder.glob("state/**/d/*"):
        os.truncate(file, file.stat().st_size // 2)


def damage_notes(folder):
    (folder / "notes" / "metadata").write_text("{")


def damage_remove(folder):
    (folder / "state" / "_METADATA").unlink()


@contextlib.contextmanager
def mounted(folder, options):
    """A small disk in ``folder``; making one takes root's rights."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    subprocess.run(command, check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def write_idx(folder, *, size=8, test_size=8, n=100):
    draw = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for name, side, count in (("train", size, n), ("t10k", test_size, 20)):
        images = draw.integers(0, 256, (count, side, side), np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(idx(images))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx(labels))
    return folder / "train-images-idx3-ubyte"


def write_npz(path, shape=(100, 8, 8), labels=None, dtype=np.uint8, **changes):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, shape).astype(dtype)
    for index, value in changes.pop("pixels", {}).items():
        images[index] = value
    labels = np.arange(shape[0]) % 5 if labels is None else labels
    np.savez_compressed(path, images=images, labels=labels)
    return path


MEASURED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
from cnnjax.cli import main
status = main(sys.argv[1:])
# getrusage would tell of the process that started this one, too.
used = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print("peak", int(used.split()[1]) // 1024, "MB")
sys.exit(status)
"""


def train_measured(workdir, source):
    """Trains in a process of its own, under a limit should it take the memory.

    Returns:
        The exit status, what was said, and the most MB that were in use.
    """
    words = [*SHORT, f"--config.data.source={source}", "--config.batch_size=16"]
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            MEASURED,
            "train",
            DIGITS,
            f"--workdir={workdir}",
            *words,
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=30,
    )
    peak = result.stdout.split()[-2:-1]
    return result.returncode, result.stderr, int(peak[0]) if peak else None
