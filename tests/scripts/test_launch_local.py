"""scripts/launch_local: many processes started, their signals, their end."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from signal import SIGINT, SIGTERM, SIGUSR1

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "launch_local"
WAITS = """
import os, signal, sys, time
number = sys.argv[-1][-1]
def tell(text):  # in one piece
    os.write(1, f"{number} {text}\\n".encode())
def note(signum, frame):
    tell("got " + signal.Signals(signum).name)
    os._exit(128 + signum)
for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
    signal.signal(signum, note)
tell("waits")
time.sleep(60)
"""


def launch(count, program, **options):
    """The launcher with processes of a Python program, in a session of its own."""
    return subprocess.Popen(
        [SCRIPT, str(count), sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def run(count, program):
    process = launch(count, program)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def test_each_process_is_told_its_place():
    tells = "import os, sys; os.write(1, (' '.join(sys.argv[1:]) + '\\n').encode())"
    status, out, err = run(3, tells)  # a line in one piece
    assert (status, err) == (0, "")
    lines = sorted(out.splitlines())
    ports = {re.match(r"--coordinator=localhost:(\d+) ", line)[1] for line in lines}
    assert len(ports) == 1
    ends = [line.split(" ", 1)[1] for line in lines]
    assert ends == [f"--num_processes=3 --process_id={i}" for i in range(3)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["0", "true"], "N is 0, expected 1 or more"),
        (["-1", "true"], "N is -1, expected 1 or more"),
        (["two", "true"], "invalid int value: 'two'"),
        (["2"], "no command given"),
        ([], "arguments are required: N"),
    ],
)
def test_what_cannot_be_started_is_a_usage_error(words, message):
    done = subprocess.run([SCRIPT, *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: launch_local N COMMAND ...\n")
    assert message in done.stderr


def test_a_command_that_is_not_there_is_named():
    done = subprocess.run([SCRIPT, "2", "nonsense"], capture_output=True, text=True)
    assert done.returncode == 127
    assert done.stderr == (
        "launch_local: cannot start nonsense: No such file or directory\n"
    )


@pytest.mark.parametrize("number", [SIGINT, SIGTERM, SIGUSR1])
def test_a_signal_reaches_each_process_once(number):
    process = launch(2, WAITS)
    started = sorted(process.stdout.readline().split()[0] for _ in range(2))
    # As Ctrl-C does: to all of the terminal's process group.
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=30)
    assert started == ["0", "1"]
    assert sorted(out.splitlines()) == [f"{i} got {number.name}" for i in range(2)]
    assert (process.returncode, err) == (128 + number, "")


def test_the_first_failure_is_the_status_and_is_told():
    program = (
        "import sys, time; i = int(sys.argv[-1][-1]); time.sleep(1 - i / 2);"
        " sys.exit([0, 7, 9][i])"
    )
    status, out, err = run(3, program)
    assert (status, out) == (9, "")
    told = "process 2 ended with status 9; the others get 60 seconds to end"
    assert err == f"launch_local: {told}\n"


def test_a_killed_process_is_told_with_what_to_do():
    program = (
        "import os, sys, time; i = int(sys.argv[-1][-1]);"
        " os.kill(os.getpid(), 9) if i else time.sleep(1)"
    )
    status, _, err = run(2, program)
    assert status == 137
    assert err == (
        "launch_local: process 1 was killed by SIGKILL; the others get 60 seconds to"
        " end; rerun the same command to resume from the last checkpoint\n"
    )


def test_what_does_not_end_after_a_failure_is_killed(tmp_path):
    """With a patience of one second instead of sixty."""
    script = SCRIPT.read_text()
    assert "PATIENCE_SECONDS = 60\n" in script
    short = tmp_path / "launch_local"
    short.write_text(
        script.replace("PATIENCE_SECONDS = 60\n", "PATIENCE_SECONDS = 1\n")
    )
    program = (
        "import sys, time; sys.exit(3) if '=0' in sys.argv[-1] else time.sleep(60)"
    )
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, short, "2", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert time.monotonic() - begin < 10
    assert done.returncode == 3
    assert done.stderr == (
        "launch_local: process 0 ended with status 3; the others get 1 seconds to end\n"
        "launch_local: killing what has not ended: process 1\n"
    )
