"""``cnnjax plan``, called as ``main``."""

import json
from pathlib import Path

import pytest

from cnnjax.cli import main

DIGITS = str(Path(__file__).parents[2] / "configs" / "digits.py")


@pytest.fixture
def plan(capsys, monkeypatch):
    """The exit status of the command, and what it wrote to its two streams."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("XLA_FLAGS", "")

    def plan(*words):
        status = main(["plan", f"--config={DIGITS}", *words])
        return status, *capsys.readouterr()

    return plan


@pytest.mark.slow
def test_it_prints_and_writes_a_plan(plan, tmp_path):
    file = tmp_path / "plan.json"
    words = ["--for=cpu", f"--json={file}", "--config.batch_size=8"]
    words += ["--config.model.widths=(4,)", "--savings"]
    status, stdout, _ = plan(*words)
    assert status == 0
    lines = stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("simple_cnn, ")
    assert "Donated buffers: the new state reuses the" in stdout
    values = json.loads(file.read_text())
    assert values["batch_size"] == 8
    memory = values["training"]["memory"]
    assert 0 < memory["reused"] < memory["peak"] < memory["limit"]
    (saving,) = values["savings"]  # a simple_cnn has no option remat
    assert saving["setting"] == "accumulate_steps"
    assert saving["saved"] == memory["peak"] - saving["peak"]


@pytest.mark.parametrize(
    "words, part",
    [
        (["--for=h10"], "unknown device 'h10'; did you mean 'h100'?"),
        (["--for=cpu", "--classes=5"], "--classes is given without --image-size"),
        (["--for=cpu", "--image-size=8x8", "--classes=0"], "--classes is 0"),
        (["--for=cpu", "--image-size=8", "--classes=2"], "such as 224x224x3"),
        (
            ["--for=cpu", "--config.data.source=folder:/no/such"],
            "to plan without the data, give --image-size and --classes",
        ),
        (["--for=cpu", "--json=/no/such/plan.json"], "/no/such"),
    ],
)
def test_mistakes_are_named(plan, words, part):
    status, stdout, stderr = plan(*words)
    assert (status, stdout) == (2, "")
    assert part in stderr
