"""Metrics are the same on any number of devices and processes, for any batch size."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cnnjax.metrics import Outputs, find_metric
from tests.support.train.metrics_on_devices import METRICS, SIZES, arrays
from tests.support.train.steps_on_devices import make_settings

ROOT = Path(__file__).parents[3]


def run(folder, kind, devices, processes=1):
    """What each process writes."""
    out = folder / f"{kind}{devices}{processes}"
    make_settings(folder, 1, False, False)  # writes the data, which all then read
    with socket.socket() as connection:
        connection.bind(("localhost", 0))
        place = f"localhost:{connection.getsockname()[1]}"
    many = [[place, processes, i] for i in range(processes)] if processes > 1 else [[]]
    here = {"JAX_NUM_CPU_DEVICES": str(devices), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "tests.support.train.metrics_on_devices"]
    started = [
        subprocess.Popen(
            [*command, str(out), kind, *map(str, words)],
            env=os.environ | here,
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for words in many
    ]
    try:
        ends = [process.communicate(timeout=120)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0] * len(many), ends
    names = [f"{out}{i}.npz" for i in range(processes)] if processes > 1 else [out]
    return [dict(np.load(Path(name).with_suffix(".npz"))) for name in names]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """On one device of this process."""
    return arrays(tmp_path_factory.mktemp("alone"), "jit")


@pytest.mark.slow
def test_any_batch_size_gives_the_same(alone):
    for size in SIZES[1:]:
        for what in ("values", "logits", "labels", "losses"):
            found, first = alone[f"{what} {size}"], alone[f"{what} {SIZES[0]}"]
            np.testing.assert_allclose(found, first, rtol=1e-5, atol=1e-6)


def test_the_values_are_those_of_the_outputs_in_order(alone):
    size = SIZES[0]
    logits, labels = alone[f"logits {size}"], alone[f"labels {size}"]
    losses, values = alone[f"losses {size}"], alone[f"values {size}"]
    outputs = Outputs(logits, labels, losses)
    expected = [losses.mean(), np.mean(outputs.predictions == labels), 40]
    for metric in map(find_metric, METRICS):
        found = (
            metric.function(logits, labels).mean()
            if metric.is_mean
            else metric.function(outputs)
        )
        expected.append(float(found))
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    assert len(labels) == 40


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [
        {"kind": "jit", "devices": 4},
        pytest.param({"kind": "pmap", "devices": 4}, marks=pytest.mark.slow),
        pytest.param(
            {"kind": "jit", "devices": 2, "processes": 2},
            marks=[pytest.mark.slow, pytest.mark.alone],
        ),
        pytest.param(
            {"kind": "pmap", "devices": 2, "processes": 2},
            marks=[pytest.mark.slow, pytest.mark.alone],
        ),
    ],
    ids=str,
)
def test_any_devices_give_the_same(tmp_path, alone, how):
    found = run(tmp_path, **how)
    for each in found:
        assert each.keys() == alone.keys()
        for name, array in alone.items():
            np.testing.assert_allclose(each[name], array, rtol=1e-4, atol=1e-6)
            np.testing.assert_array_equal(each[name], found[0][name])
