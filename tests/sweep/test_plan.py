"""The runs of a grid: names, order, and checks before any of them starts."""

from pathlib import Path

import pytest

from cnnjax.errors import ConfigError
from cnnjax.sweep.choices import parse_sets
from cnnjax.sweep.plan import find_monitor, name_runs, plan_grid, short_labels

DIGITS = Path(__file__).parents[2] / "configs" / "digits.py"


def plan(*words, **overrides):
    return plan_grid(DIGITS, overrides, parse_sets(words, [*overrides]))


def test_all_combinations_in_order():
    runs = plan("optimizer.learning_rate=3e-3,0.01", "seed=0:2", batch_size="32")
    assert [run.name for run in runs] == [
        "learning_rate=0.003,seed=0",
        "learning_rate=0.003,seed=1",
        "learning_rate=0.01,seed=0",
        "learning_rate=0.01,seed=1",
    ]
    assert [run.number for run in runs] == [0, 1, 2, 3]
    first, last = runs[0], runs[-1]
    assert first.values == {"optimizer.learning_rate": 0.003, "seed": 0}
    assert first.overrides == {
        "batch_size": "32",
        "optimizer.learning_rate": "3e-3",
        "seed": "0",
    }
    assert (last.config.optimizer.learning_rate, last.config.batch_size) == (0.01, 32)
    assert find_monitor(last.config).name == "loss"


def test_a_longer_list_keeps_the_names_of_earlier_runs():
    before = plan("duration=1 epoch,2 epochs")
    after = plan("duration=3 epochs,2 epochs,1 epoch")
    assert {run.name for run in before} < {run.name for run in after}
    assert before[0].name == "duration=1_epoch"


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([1e-5, 0.5], ["x=1e-05", "x=0.5"]),
        ([True, None], ["x=true", "x=none"]),
        ([(4, 8), ()], ["x=4x8", "x=__"]),
        (["a/../b"], ["x=a_.._b"]),
    ],
)
def test_names(values, names):
    assert name_runs([{"x": value} for value in values]) == names


def test_names_stay_different_and_short():
    names = name_runs([{"x": text} for text in ("a b", "A_b", "ab", 300 * "z")])
    assert len({name.casefold() for name in names}) == 4
    assert all(len(name) < 70 for name in names)
    assert names[2] == "x=ab"
    many = {f"section.{n}": 50 * "y" for n in range(9)}
    assert len(name_runs([many])[0]) == 200


def test_labels_are_the_last_parts_where_these_differ():
    names = ["schedule.name", "model.name", "seed"]
    assert [*short_labels(names).values()] == names
    assert short_labels(["optimizer.momentum"]) == {"optimizer.momentum": "momentum"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sed=1"], "the run with sed=1: unknown setting 'sed'; did you mean 'seed'"),
        (["batch_size=8,0"], "the run with batch_size=0: batch_size is 0"),
        (["model.widht=3"], "did you mean 'widths'"),
        (["model=a,b"], "model is a section"),
        (["optimizer.learning_rate=0.1,1e-1"], "which are the same value"),
        (["seed=0:100", "batch_size=1:100"], "9,900 runs, expected at most 1,000"),
    ],
)
def test_bad_grids_are_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        plan(*words)
