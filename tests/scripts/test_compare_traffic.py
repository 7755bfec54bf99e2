"""scripts/compare_traffic.py: its limits, its table, and the operations it compiles."""

import sys
from pathlib import Path

import jax
import pytest

FOLDER = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield __import__("compare_traffic")
    for name in ("compare_traffic", "traffic_cases"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        ((102e6, 10e6), False),
        ((103e6, 10e6), True),
        ((50e6, 11.5e6), False),  # 1 MB is free
        ((50e6, 11.6e6), True),
    ],
)
def test_limits_of_traffic_and_of_temporary_memory(ours, expected, script):
    stock = script.Moved(100e6, 10e6)
    assert script.exceeds(script.Moved(*ours), stock) == expected


def test_a_row_has_megabytes_and_their_ratio(script):
    line = script.row("relu", script.Moved(3e6, 0), script.Moved(2e6, 1e5))
    assert line == "| relu | 3.0 | 2.0 | 1.50 | 0.0 | 0.1 |"


def test_every_operation_can_be_traced(script):
    programs = list(script.operations(""))
    assert len(programs) >= 2 * 60
    for _, function, arrays in programs:
        assert jax.tree.leaves(jax.eval_shape(function, *arrays))


def test_the_training_step_gives_variables_and_a_loss(script):
    [(label, step, arrays)] = script.steps("^lenet5$", 4, 32)
    assert label == "lenet5, training step"
    variables, loss = jax.eval_shape(step, *arrays)
    assert jax.tree.structure(variables) == jax.tree.structure(arrays[0])
    assert loss.shape == ()
