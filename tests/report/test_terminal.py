"""What a terminal and a file are shown of a run."""

import io
import os
import pty
import re
import select
import sys

import pytest

from cnnjax.report.lines import duration_text, fit, log_line, log_lines
from cnnjax.report.progress_bar import ProgressBar
from cnnjax.report.terminal import PlainLines, make_terminal_reporter

INFO = {
    "name": "digits",
    "total_steps": 2000,
    "examples": 60000,
    "epochs": 2.5,
    "batch_size": 128,
    "parameters": 101770,
    "device": "1 CPU",
    "workdir": "runs/digits",
    "monitor": "accuracy",
    "higher_is_better": True,
    "min_improvement": 0.0,
    "best": None,
}
TRAIN = {
    "kind": "train",
    "step": 40,
    "epoch": 0.05,
    "loss": 1.25,
    "accuracy": 0.5,
    "learning_rate": 0.1,
    "images_per_second": 41234.5,
    "seconds": 3.21,
}
VALIDATION = {
    "kind": "validation",
    "step": 2000,
    "epoch": 2.5,
    "loss": 0.125,
    "accuracy": 0.987,
    "seconds": 12.5,
}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def terminal():
    """A text stream on a pseudo-terminal, and a function that reads its screen."""
    reader, writer = pty.openpty()
    stream = open(writer, "w", encoding="utf-8")  # noqa: SIM115

    def read():
        stream.flush()
        shown = b""
        while select.select([reader], [], [], 0.2)[0]:
            shown += os.read(reader, 1 << 16)
        return shown.decode()

    yield stream, read
    stream.close()
    os.close(reader)


def step_record(step):
    return {
        "step": step,
        "epoch": step / 800,
        "loss": 0.25,
        "learning_rate": 0.1,
        "images_per_second": 41234.5,
        "data_wait_fraction": 0.03,
    }


def run(reporter):
    reporter.start(INFO)
    for step in range(1, 101):
        reporter.step(step_record(step))
    reporter.log(TRAIN)
    reporter.message("saved a checkpoint")
    reporter.log(VALIDATION)
    reporter.close()


def test_plain_lines_are_aligned():
    stream = io.StringIO()
    run(make_terminal_reporter(stream))
    assert stream.getvalue().splitlines() == [
        "digits: 101,770 parameters on 1 CPU",
        "60,000 examples, batch size 128, 2.5 epochs = 2,000 steps",
        "working directory runs/digits",
        "train       step   40/2000  epoch   0.05  loss   1.2500  accuracy  50.00%"
        "       3.2 s     41,234 images/s  lr 0.1",
        "saved a checkpoint",
        "validation  step 2000/2000  epoch   2.50  loss   0.1250  accuracy  98.70%"
        "      12.5 s",
    ]


def test_plain_lines_are_flushed(tmp_path):
    path = tmp_path / "log"
    with path.open("w") as stream:
        make_terminal_reporter(stream).message("now")
        assert path.read_text() == "now\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_plain_by_environment(terminal, monkeypatch, name, value):
    stream, read = terminal
    monkeypatch.setenv(name, value)
    run(make_terminal_reporter(stream))
    assert read().splitlines()[3:] == [
        "saved a checkpoint",
        "* marks the best validation accuracy yet",
        " epoch  train loss  val loss  accuracy   images/s     time",
        "  2.50      0.2500    0.1250    98.70%*    41,234   12.5 s",
    ]


@pytest.mark.parametrize(
    ("locale", "encoding"), [("C", "utf-8"), ("POSIX", "utf-8"), ("en_US", "ascii")]
)
def test_a_terminal_without_unicode_is_shown_ascii(
    terminal, monkeypatch, locale, encoding
):
    stream, read = terminal
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.setenv("LANG", locale)
    stream.reconfigure(encoding=encoding, errors="backslashreplace")
    run(make_terminal_reporter(stream))
    screen = read()
    assert screen.isascii()
    assert "\\u" not in screen
    assert re.search(r"#\.+  100/2000  \d:\d\d left", screen)


def test_standard_output_by_default(capsys):
    reporter = make_terminal_reporter()
    assert isinstance(reporter, PlainLines)
    reporter.message("here")
    assert capsys.readouterr().out == "here\n"


def test_bar_on_a_terminal(terminal):
    stream, read = terminal
    reporter = make_terminal_reporter(stream)
    assert isinstance(reporter, ProgressBar)
    run(reporter)
    screen = read()
    assert screen.endswith("\x1b[?25h")  # the cursor is shown again
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen)
    lines = lines.replace("\r\n", "\n").replace("\r", "\n")
    assert all(len(line) <= 60 for line in lines.splitlines())
    table = lines[lines.index("* marks") :].splitlines()
    assert table[:3] == [
        "* marks the best validation accuracy yet",
        " epoch  train loss  val loss  accuracy   images/s     time",
        "  2.50      0.2500    0.1250    98.70%*    41,234   12.5 s",
    ]
    assert "saved a checkpoint\n" in lines
    assert "train " not in lines.replace("train loss", "")
    bar, numbers = lines.strip().splitlines()[-2:]
    assert re.search(r"━+ +100/2000  \d+:\d\d left", bar)
    assert (
        numbers.strip() == "epoch 0.12/2.5  loss 0.2500  41,234 images/s  data wait 3%"
    )


def test_bar_is_drawn_a_few_times_a_second(terminal, monkeypatch):
    stream, read = terminal
    clock = iter(range(10**6))
    monkeypatch.setattr(
        "cnnjax.report.progress_bar.time.monotonic", lambda: next(clock) / 1000
    )
    reporter = make_terminal_reporter(stream)
    reporter.start(INFO)
    read()
    for step in range(1, 1001):
        reporter.step(step_record(step))
    assert read().count("/2000") in (5, 6)
    reporter.close()


def test_time_left_of_a_resumed_run(terminal, monkeypatch):
    stream, read = terminal
    clock = iter([0.0])
    monkeypatch.setattr(
        "cnnjax.report.progress_bar.time.monotonic", lambda: next(clock, 10.0)
    )
    reporter = make_terminal_reporter(stream)
    reporter.start(INFO)
    reporter.step(step_record(1000))
    assert "left" not in read()
    reporter.step(step_record(1100))
    assert "1:30 left" in read()  # 900 steps at 0.1 s
    reporter.close()


def test_prints_go_above_the_bar(terminal, monkeypatch):
    stream, read = terminal
    monkeypatch.setattr(sys, "stdout", stream)
    reporter = make_terminal_reporter()
    reporter.start(INFO)
    print("a stray print")
    reporter.close()
    assert sys.stdout is stream
    assert "\x1b[2Ka stray print\r\n" in read()


def test_missing_and_non_finite_numbers():
    line = log_line({"kind": "test", "step": 3, "loss": float("nan")}, total_steps=10)
    assert line == "test        step  3/10                loss      nan"


def test_a_test_result_is_shown_whole_in_as_many_lines_as_it_needs():
    record = {**VALIDATION, "kind": "test", "macro_f1": 0.75}
    assert log_lines(record, 2000, 40) == [
        "test        step 2000/2000  epoch   2.50",
        "  loss   0.1250  accuracy  98.70%",
        "  macro_f1   0.7500      12.5 s",
    ]
    (line,) = log_lines(record, 2000, 200)
    assert line == "".join(log_lines(record, 2000, 40))


def test_narrow_lines_drop_what_matters_least():
    fields = [(0, "step"), (2, "speed"), (1, "loss")]
    assert fit(fields, 17) == "step  speed  loss"
    assert fit(fields, 16) == "step  loss"
    assert fit(fields, 9) == "step"
    assert fit(fields, 2) == "st"
    assert fit(fields, 0) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3661, "1:01:01")],
)
def test_durations(seconds, text):
    assert duration_text(seconds) == text
