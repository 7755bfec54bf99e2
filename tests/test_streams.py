"""Output that nobody takes, or that cannot show a text, ends no run."""

import os
import pty
import signal
import subprocess
import sys

import pytest

from cnnjax.report import read_metrics
from cnnjax.streams import Lasting, lasting_output, printable
from tests.support.train.faults import DIGITS, ROOT, TINY, wait_for_step

ASCII = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
NO_UTF8 = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def start(workdir, *words, shell='exec "$@"', env=None, **streams):
    command = [sys.executable, "-m", "cnnjax", "train", DIGITS, *TINY]
    return subprocess.Popen(
        ["sh", "-c", shell, "sh", *command, f"--workdir={workdir}", *words],
        cwd=ROOT,
        env=os.environ | (env or {}),
        **streams,
    )


def assert_whole(workdir):
    """The run was trained, saved and recorded to its end."""
    kinds = [record["kind"] for record in read_metrics(workdir / "metrics.jsonl")]
    assert kinds[-2:] == ["validation", "test"]
    assert (workdir / "checkpoints" / "12").is_dir()


LENGTH = "--config.duration=12 steps"


@pytest.mark.slow
def test_a_reader_that_leaves_ends_the_output_and_not_the_run(tmp_path):
    pipe = subprocess.PIPE
    process = start(tmp_path, LENGTH, stdout=pipe, stderr=pipe)
    assert process.stdout.readline().startswith(b"simple_cnn: ")
    process.stdout.close()
    process.stderr.close()
    assert process.wait(120) == 0
    assert_whole(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("shell", ['exec "$@" >&- 2>&- <&-', 'exec "$@" >/dev/full'])
def test_closed_or_full_output_ends_no_run(tmp_path, shell):
    process = start(tmp_path, LENGTH, shell=shell, stderr=subprocess.PIPE)
    err = process.communicate(timeout=120)[1]
    assert (process.returncode, err) == (0, b"")
    assert_whole(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("env", [ASCII, ASCII | NO_UTF8], ids=["ascii", "no utf-8"])
def test_a_locale_that_lacks_a_character_ends_no_run(tmp_path, env):
    workdir = tmp_path / "Übung"
    pipe = subprocess.PIPE
    process = start(workdir, LENGTH, env=env, stdout=pipe, stderr=pipe)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, b"")
    assert rf"{tmp_path}/\xdcbung".encode() in out
    assert_whole(workdir)
    assert [path.name for path in tmp_path.iterdir()] == ["Übung"]


@pytest.mark.slow
def test_a_terminal_that_is_closed_lets_the_run_save(tmp_path):
    """The session's end sends SIGHUP, and then each write to the terminal fails."""
    ours, theirs = pty.openpty()
    words = ["--config.duration=50000 steps", "--config.checkpoint.every=5 steps"]
    process = start(tmp_path, *words, stdin=theirs, stdout=theirs, stderr=theirs)
    try:
        os.close(theirs)
        wait_for_step(tmp_path, 5)
        os.close(ours)
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 128 + signal.SIGHUP
    finally:
        process.kill()
    steps = [int(path.name) for path in (tmp_path / "checkpoints").iterdir()]
    assert max(steps) > 5


def test_what_a_closed_pipe_does_not_take_is_dropped():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as file:
        stream = Lasting(file)
        for _ in range(3):
            print("text", file=stream, flush=True)
        assert os.path.samestat(os.fstat(writer), os.stat(os.devnull))
    stream.write("after the end")


def test_what_a_full_disk_does_not_take_now_may_be_written_later(tmp_path):
    with open("/dev/full", "w") as file:
        stream = Lasting(file)
        print("first", file=stream, flush=True)
        with (tmp_path / "out").open("w") as other:
            os.dup2(other.fileno(), file.fileno())
        print("second", file=stream, flush=True)
        assert (tmp_path / "out").read_text() == "first\nsecond\n"


def test_standard_output_lasts_and_comes_back(capsys):
    before = sys.stdout
    with lasting_output():
        print("shown")
    assert sys.stdout is before
    assert capsys.readouterr().out == "shown\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),  # the same as ESC [ in one character
        ("a\nb\r\tc\x00\x08\x7f", r"a\nb\r\tc\x00\x08\x7f"),
        ("a\u2028b\x85c\x0bd\x0ce", r"a\u2028b\x85c\x0bd\x0ce"),
        ("\u202egpj.exe\u2066\u2069", r"\u202egpj.exe\u2066\u2069"),
        ("\udce9 \ud800", r"\udce9 \ud800"),
        ("\U000e0041", r"\U000e0041"),  # an invisible tag
        ("Größe 数据 🙂 [red] a\\b", "Größe 数据 🙂 [red] a\\b"),
    ],
)
def test_what_acts_or_hides_is_shown_as_an_escape(text, shown):
    assert printable(text) == shown


def test_every_character_gives_one_line_that_a_terminal_takes():
    text = printable("".join(map(chr, range(0x110000))))
    assert text.isprintable()
    assert len(text.splitlines()) == 1
    assert text.encode()


def test_errors_and_numbers_are_shown_as_text():
    assert printable(ValueError("a\x1bb")) == r"a\x1bb"
    assert printable(3) == "3"
