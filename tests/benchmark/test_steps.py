"""The command ``cnnjax benchmark``: its values, its table, its refusals."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cnnjax.cli import main

DIGITS = Path(__file__).parents[2] / "configs" / "digits.py"
SMALL = [f"--config={DIGITS}", "--config.model.widths=(4, 6)", "--config.batch_size=16"]


def benchmark(*words):
    """In a process of its own, as it turns the cache of compiled programs off."""
    command = [sys.executable, "-m", "cnnjax", "benchmark", *SMALL, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_values_for_machines():
    values = json.loads(benchmark("--steps=2", "--json"))
    assert values["image_shape"] == [8, 8, 1]
    assert (values["batch_size"], values["model"]) == (16, "simple_cnn")
    for side in (values["training"], values["inference"]):
        low, high = side["step_seconds_quartiles"]
        assert 0 < side["step_seconds_min"] <= low <= side["step_seconds"] <= high
        rate = side["images_per_second"]
        assert rate == pytest.approx(16 / side["step_seconds"])
        speed = side["gflop"] / side["step_seconds"]
        assert side["gflop_per_second"] == pytest.approx(speed)
        peak = values["product_peak_gflop_per_second"]
        assert side["share_of_product_peak"] == pytest.approx(speed / peak)
        assert 0 < side["memory_bytes"] < values["process_peak_bytes"]
        assert side["compile_seconds"] > 0
    first = 2 * 16 * (8 * 8) * 4 * 9 / 1e9
    inference, training = (values[k]["gflop"] for k in ("inference", "training"))
    assert training == pytest.approx(3 * inference - first)


@pytest.mark.slow
def test_a_table_for_people():
    text = benchmark("--steps=2")
    assert "simple_cnn" in text
    assert "batch 16 of 8x8x1 on cpu" in text
    for word in ("training step", "inference step", "median of 2", "GFLOP/s", "share"):
        assert word in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*SMALL, "--steps=0"], "steps is 0, expected 1 or more"),
        ([*SMALL, "--config.model.name=resnet_20"], "did you mean 'resnet20'"),
        ([*SMALL, "--config.devices=3"], "devices is 3, but a process has"),
        (["--config=none.py"], "none.py"),
    ],
)
def test_what_cannot_be_is_refused_with_one_line(words, message, capsys):
    assert main(["benchmark", *words]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
