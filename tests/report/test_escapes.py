"""Names that hold escape sequences: every door shows them escaped, in one line."""

import io

import pytest
from rich.console import Console

from cnnjax.benchmark.table import benchmark_table
from cnnjax.cli import main
from cnnjax.compare.gradients import Row
from cnnjax.compare.page import page
from cnnjax.compare.table import lines
from cnnjax.report import MetricsFile
from cnnjax.report.progress_bar import ProgressBar
from cnnjax.report.terminal import PlainLines
from cnnjax.streams import warn

EVIL = "a\x1b[31mb\x07\n\x9b2J\u202ec [red]d[/red]\x7f"
SHOWN = r"a\x1b[31mb\x07\n\x9b2J\u202ec [red]d[/red]\x7f"
INFO = {
    "name": EVIL,
    "total_steps": 10,
    "examples": 20,
    "epochs": 1.0,
    "batch_size": 2,
    "parameters": 3,
    "device": EVIL,
    "workdir": EVIL,
    "monitor": EVIL,
    "higher_is_better": True,
    "min_improvement": 0.0,
    "best": None,
}


def only_raw_newlines(text):
    return all(line.isprintable() for line in text.split("\n"))


def test_plain_lines():
    stream = io.StringIO()
    reporter = PlainLines(stream)
    reporter.start(INFO)
    reporter.message(EVIL)
    text = stream.getvalue()
    assert only_raw_newlines(text)
    assert text.count("\n") == 4
    assert text.count(SHOWN) == 4


class Terminal(io.StringIO):
    """A stream that a progress bar takes for a terminal."""

    def isatty(self):
        return True


def test_the_progress_bar_s_messages(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    stream = Terminal()
    reporter = ProgressBar(stream)
    reporter.message(EVIL)
    assert stream.getvalue() == SHOWN + "\n"
    reporter.start(INFO)
    reporter.close()
    assert stream.getvalue().count(SHOWN) == 4
    record = {"kind": "validation", "step": 1, "epoch": 0.1, "loss": 1.0, EVIL: 0.5}
    reporter.log({**record, "seconds": 1.0})
    assert stream.getvalue().count(SHOWN) == 6
    assert not {"\x07", "\x9b", "\u202e", "\x7f"} & set(stream.getvalue())
    assert "\x1b[31m" not in stream.getvalue()


def rows(ok=True):
    row = Row(
        name=EVIL,
        shape=(2, 3),
        max_abs=0.0,
        max_rel=0.0,
        float64=0.0,
        f_ulp=0.0,
        g_ulp=0.0,
        finite_difference=None,
        tolerance=1.0,
        failures=() if ok else (EVIL,),
    )
    return [(EVIL, [row])]


@pytest.mark.parametrize("ok", [True, False])
def test_a_comparison_on_the_terminal(ok):
    text = "\n".join(lines(rows(ok)))
    assert only_raw_newlines(text)
    assert text.count(SHOWN) == (2 if ok else 4)


@pytest.mark.parametrize("ok", [True, False])
def test_a_comparison_as_a_page(ok):
    html = page(f"<b>{EVIL}", rows(ok), None)
    assert only_raw_newlines(html)
    assert "&lt;b&gt;a" in html
    assert "<b>" not in html


def test_a_benchmark():
    side = {
        "compile_seconds": 1.0,
        "steps": 3,
        "step_seconds": 1.0,
        "step_seconds_min": 1.0,
        "step_seconds_quartiles": (1.0, 1.0),
        "images_per_second": 1.0,
        "gflop": 1.0,
        "gflop_per_second": 1.0,
        "share_of_product_peak": 0.5,
        "memory_bytes": 1,
    }
    values = {
        "image_shape": (2, 2, 1),
        "devices": 1,
        "model": EVIL,
        "parameters": 1,
        "batch_size": 1,
        "device": EVIL,
        "cores": 1,
        "backend": EVIL,
        "product_peak_gflop_per_second": 1.0,
        "process_peak_bytes": 1,
        "training": side,
        "inference": side,
    }
    stream = io.StringIO()
    Console(file=stream, width=400).print(benchmark_table(values))
    assert only_raw_newlines(stream.getvalue())
    assert stream.getvalue().count(SHOWN) == 3


def test_metrics(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.log({"kind": EVIL, "step": 1})
    metrics.close()
    text = (tmp_path / "metrics.jsonl").read_text()
    assert text.isascii()
    assert only_raw_newlines(text)


def test_a_warning(capsys):
    warn(EVIL)
    assert capsys.readouterr().err == f"cnnjax: {SHOWN}\n"


@pytest.mark.parametrize(
    "command",
    [
        ["train", f"--config={EVIL}"],
        ["train", "--config=x", f"--config.{EVIL}="],
        ["train", "--config=configs/digits.py", f"--config.seed={EVIL}"],
        ["train", "--config=configs/digits.py", f"--config.data.source={EVIL}"],
        ["train", "--config=configs/digits.py", f"--config.model.name={EVIL}"],
        ["evaluate", f"--workdir={EVIL}"],
        ["compare", f"--ops={EVIL}"],
    ],
)
def test_what_the_command_line_refuses(command, capsys, tmp_path):
    assert (
        main([*command, *[f"--workdir={tmp_path / 'run'}"] * (command[0] == "train")])
        == 2
    )
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert only_raw_newlines(err)


@pytest.mark.parametrize("command", [["info", EVIL], [EVIL], ["train", f"--{EVIL}"]])
def test_what_the_parser_refuses(command, capsys):
    with pytest.raises(SystemExit):
        main(command)
    err = capsys.readouterr().err
    assert only_raw_newlines(err)
    assert "x1b[31m" in err or "required" in err
