"""Signals sent to a real run: how it ends, what it says, and what is left of it."""

import re
import time
from pathlib import Path
from signal import SIGCONT, SIGINT, SIGTERM, SIGUSR1

import pytest

from tests.support.train.faults import TINY, contents, start, wait_for_step, wait_until

LONG = [*TINY, "--config.duration=50000 steps", "--config.checkpoint.every=10 steps"]


def send(process, *numbers):
    """Sends the signals, one right after the other, and waits for the end."""
    for number in numbers:
        process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.fixture
def launch(tmp_path):
    """Starts runs in ``tmp_path``; none outlives its test."""
    processes = []

    def begin(*words):
        processes.append(start(tmp_path, *words))
        return processes[-1]

    yield begin
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.mark.slow
def test_each_signal_saves_and_the_same_command_goes_on(tmp_path, launch):
    """SIGUSR1, and SIGCONT followed by SIGTERM, are what Slurm sends."""
    process, last = launch(*LONG), 0
    wait_until(lambda: (tmp_path / "config.json").exists())
    send(process, SIGTERM)  # before its first step; that is no obstacle either
    for numbers, status in [
        ((SIGTERM,), 143),
        ((SIGINT,), 130),
        ((SIGUSR1,), 138),
        ((SIGCONT, SIGTERM), 143),
    ]:
        process = launch(*LONG)
        wait_for_step(tmp_path, last + 10)
        code, out, err = send(process, *numbers)
        name = numbers[-1].name
        assert (code, err) == (status, ""), name
        told = re.search(
            rf"Stopped by {name} after step (\d+) \(checkpoint saved\); rerun the same"
            r" command to resume\.",
            out,
        )
        assert told, out
        if last:
            assert f"resuming after step {last}\n" in out
        last = int(told[1])
        assert (tmp_path / "checkpoints" / str(last)).is_dir()
    process = launch(*LONG, f"--config.duration={last + 5} steps")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert f"resuming after step {last}\n" in out


MOMENTS = {
    "jax is imported": lambda process, _: is_mapped(process, "jaxlib"),
    "the data is read": lambda _, workdir: (workdir / ".lock").exists(),
    "the step is compiled": lambda _, workdir: (workdir / "config.json").exists(),
}


def is_mapped(process, name):
    return name in Path(f"/proc/{process.pid}/maps").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_a_signal_before_the_first_step_ends_the_run_quietly(
    tmp_path, launch, number, moment
):
    process = launch(*LONG)
    wait_until(lambda: MOMENTS[moment](process, tmp_path))
    code, out, err = send(process, number)
    # Python reports a process that the signal itself ended by the negative number; a
    # shell reports 128 plus the number in both cases.
    assert code in (128 + number, -number)
    assert "Traceback" not in err, err[-300:]
    if "Stopped by" in out:
        assert "rerun the same command to resume." in out


@pytest.mark.slow
def test_the_second_signal_ends_at_once_and_harms_nothing(tmp_path, launch):
    """The first one comes in an evaluation of many seconds."""
    words = [
        "--config.data.source=synthetic:32x32x1,10,20000",
        "--config.data.validation_fraction=0.9",
        "--config.data.test_fraction=0.01",
        "--config.duration=50000 steps",
        "--config.checkpoint.every=1 step",
    ]
    process = launch(*words, "--config.eval_every=2 steps")
    wait_for_step(tmp_path, 1)
    saved = contents(tmp_path / "checkpoints" / "1")
    process.send_signal(SIGTERM)
    time.sleep(0.5)
    assert process.poll() is None, "the evaluation was too short for this test"
    begin = time.monotonic()
    code, _, err = send(process, SIGINT)
    assert time.monotonic() - begin < 2
    assert (code, err) == (130, "")
    assert contents(tmp_path / "checkpoints" / "1") == saved
    process = launch(*words, "--config.eval_every=50000 steps")
    wait_for_step(tmp_path, 3)
    code, out, err = send(process, SIGTERM)
    assert (code, err) == (143, "")
    assert "resuming after step 1\n" in out


@pytest.mark.slow
def test_a_hail_of_signals_leaves_whole_checkpoints(tmp_path, launch):
    """Saving at every step, so that one of the signals meets a save under way."""
    words = [*LONG, "--config.checkpoint.every=1 step"]
    process = launch(*words)
    wait_for_step(tmp_path, 5)
    code, _, err = send(process, *[SIGTERM, SIGINT] * 20)
    assert code in (143, 130)
    assert err == ""
    steps = [path.name for path in (tmp_path / "checkpoints").iterdir()]
    newest = max(int(name) for name in steps if name.isdigit())
    process = launch(*words, f"--config.duration={newest + 2} steps")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert f"resuming after step {newest}\n" in out
    assert not (tmp_path / "damaged").exists()
