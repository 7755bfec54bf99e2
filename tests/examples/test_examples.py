"""The examples run as they are, and print what they promise."""

import re
import runpy
import sys
import tempfile
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs an example as a script in an empty folder, and gives what it printed."""

    def run(name):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        monkeypatch.syspath_prepend(EXAMPLES)
        monkeypatch.setitem(sys.modules, "own_data", None)
        del sys.modules["own_data"]
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def accuracy_after(text, printed):
    """The percentage that follows a text."""
    return float(re.search(rf"{text} (\d+(?:\.\d+)?)%", printed)[1])


@pytest.mark.slow
def test_own_data(run):
    printed = run("own_data.py")
    assert accuracy_after("test accuracy", printed) > 90
    assert len(re.findall(r"^([ACE]) -> \1 ", printed, re.MULTILINE)) == 3


@pytest.mark.slow
def test_own_model(run):
    printed = run("own_model.py")
    accuracy = accuracy_after("test accuracy", printed)
    assert accuracy > 90
    mistakes = len(re.findall(r"^a \d was taken for a \d$", printed, re.MULTILINE))
    assert mistakes == round(359 * (1 - accuracy / 100))


@pytest.mark.slow
def test_fine_tune(run):
    printed = run("fine_tune.py")
    tuned = accuracy_after("fine-tuned: test accuracy", printed)
    assert tuned > accuracy_after("from scratch: test accuracy", printed) + 5


def test_pretrained(run):
    printed = run("pretrained.py")
    for picture, name in {
        "chelsea": "tiger cat",
        "coffee": "espresso",
        "rocket": "missile",
        "camera": "tripod",
        "motorcycle": "moped",
        "china": "palace",
        "flower": "daisy",
    }.items():
        assert f"{picture}: {name} " in printed
    assert len(printed.splitlines()) == 7


@pytest.mark.slow
def test_notebook_style(run):
    printed = run("notebook_style.py")
    confusion = re.findall(r"^ ?\[+((?: *\d+)+)\]+$", printed, re.MULTILINE)
    counts = [int(n) for row in confusion[-10:] for n in row.split()]
    assert sum(counts) == 359
    assert sum(counts[::11]) > 300
    assert printed.splitlines()[-1] == "True"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.name)
def test_an_example_is_short(path):
    assert len(path.read_text().splitlines()) < 60
