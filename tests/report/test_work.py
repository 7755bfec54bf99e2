"""Long work as people see it: lines every ten seconds, or a bar that goes away."""

import time

import pytest

from cnnjax import progress
from cnnjax.report.progress_bar import ProgressBar
from cnnjax.report.work import Task, WorkLines, work_shown
from tests.report.test_terminal import INFO, environment, terminal  # noqa: F401


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_a_line_comes_every_ten_seconds_with_the_time_left():
    clock, lines = Clock(), []
    show = WorkLines(lines.append, clock)
    for done in range(0, 60_001, 1000):
        show("measuring normalization", done, 60_000, "images")
        clock.now += 0.5
    assert lines == [
        "measuring normalization: 20,000 of 60,000 images, 0:20 left",
        "measuring normalization: 40,000 of 60,000 images, 0:10 left",
    ]


def test_short_work_and_the_end_of_work_print_nothing():
    clock, lines = Clock(), []
    show = WorkLines(lines.append, clock)
    for _ in range(10):
        show("evaluating", 0, 10, "images")
        clock.now += 9
        show("evaluating", 5, 10, "images")
        clock.now += 9
        show("evaluating", 10, 10, "images")
    assert lines == []


def test_work_of_unknown_length_shows_the_time_that_it_took():
    clock, lines = Clock(), []
    show = WorkLines(lines.append, clock)
    for second in range(25):
        show("compiling the training step", second, None, "s")
        clock.now += 1
    assert lines == [
        "compiling the training step: 0:10",
        "compiling the training step: 0:20",
    ]


def test_a_task_has_no_time_left_before_something_is_done():
    task = Task(Clock())
    task.update("decoding", 0, 5000, "images")
    assert str(task) == "decoding: 0 of 5,000 images"


def test_a_bar_appears_after_a_second_and_goes_away(terminal, monkeypatch):  # noqa: F811
    stream, read = terminal
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    bar = ProgressBar(stream)
    bar._task = Task(clock)
    bar.progress("measuring", 0, 60, "images")
    clock.now += 0.9
    bar.progress("measuring", 5, 60, "images")
    assert read() == ""
    clock.now += 0.6
    bar.progress("measuring", 30, 60, "images")
    assert "measuring: 30 of 60 images, 0:02 left" in read()
    bar.progress("measuring", 60, 60, "images")
    assert "\x1b[2K" in read()  # the line is erased
    bar.close()
    assert "measuring" not in read()


def test_work_during_training_has_a_bar_below_that_of_the_run(terminal, monkeypatch):  # noqa: F811
    stream, read = terminal
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    bar = ProgressBar(stream)
    bar._task = Task(clock)
    bar.start(INFO)
    read()
    bar.progress("compiling", 0, None, "s")
    clock.now += 3
    bar.progress("compiling", 3, None, "s")
    shown = read()
    assert "compiling: 0:03" in shown
    assert "0/2000" in shown
    bar.progress("compiling", 0, 0, "s")
    shown = read()
    assert "0/2000" in shown
    assert "compiling" not in shown
    bar.close()


def test_what_a_task_is_called_cannot_write_to_the_terminal(terminal, monkeypatch):  # noqa: F811
    stream, read = terminal
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    bar = ProgressBar(stream)
    bar._task = Task(clock)
    bar.progress("decoding \x1b[31m", 0, None, "s")
    clock.now += 2
    bar.progress("decoding \x1b[31m", 2, None, "s")
    assert "decoding \\x1b[31m" in read()
    bar.close()


@pytest.mark.slow
def test_a_bar_is_removed_when_the_work_fails(terminal):  # noqa: F811
    stream, read = terminal
    with pytest.raises(KeyboardInterrupt), work_shown(stream):
        progress.tell("reading", 1, 10)
        time.sleep(1.1)
        progress.tell("reading", 2, 10)
        assert "reading: 2 of 10 images" in read()
        raise KeyboardInterrupt
    assert "\x1b[?25h" in read()  # the cursor is shown again
