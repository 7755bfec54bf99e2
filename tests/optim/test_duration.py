"""Durations: what is read, what is refused, and exact numbers of steps."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnjax.optim.duration import Duration, parse_duration, to_steps

SIZES = {"examples": 60000, "batch_size": 128, "total_steps": 1000}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10 epochs", Duration(10, "epochs")),
        ("1 epoch", Duration(1, "epochs")),
        ("2.5 Epochs", Duration(2.5, "epochs")),
        ("500 steps", Duration(500, "steps")),
        ("500 step", Duration(500, "steps")),
        ("20000 examples", Duration(20000, "examples")),
        ("20_000examples", Duration(20000, "examples")),
        ("1e5 steps", Duration(1e5, "steps")),
        (" 5% ", Duration(5, "percent")),
        ("0.5 percent", Duration(0.5, "percent")),
        ("0 epochs", Duration(0, "epochs")),
        ("7", Duration(7, "steps")),
        (7, Duration(7, "steps")),
    ],
)
def test_reads(text, expected):
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10 epocs", "did you mean 'epochs'"),
        ("10 fortnights", "unknown unit in duration '10 fortnights'"),
        ("-1 epochs", "is '-1 epochs', expected a finite amount, zero or more"),
        (-1, "is -1, expected a finite amount, zero or more"),
        ("nan epochs", "expected an amount and a unit"),
        ("1e999 steps", "expected a finite amount"),
        ("epochs", "write '10 epochs'"),
        ("", "expected an amount and a unit"),
        (True, "expected an amount and a unit"),
        (None, "expected an amount and a unit"),
    ],
)
def test_refuses(text, message):
    with pytest.raises(ValueError, match=message):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("10 epochs", 4688),  # 4687.5
        ("1 epoch", 469),
        ("0.1 epochs", 47),
        ("2.5 epochs", 1172),
        ("500 steps", 500),
        ("20000 examples", 157),
        ("128 examples", 1),
        ("5%", 50),
        ("0.1%", 1),
        ("0%", 0),
    ],
)
def test_counts_steps(text, steps):
    assert to_steps(parse_duration(text), **SIZES) == steps


def test_decimals_do_not_round_up():
    sizes = {"examples": 50000, "batch_size": 125, "total_steps": None}
    assert to_steps(parse_duration("1.1 epochs"), **sizes) == 440
    assert math.ceil(1.1 * 50000 / 125) == 441  # what floats would have said


@given(st.integers(0, 500), st.integers(1, 10**7), st.integers(1, 4096))
def test_whole_epochs_are_integer_arithmetic(epochs, examples, batch_size):
    steps = to_steps(
        Duration(float(epochs), "epochs"),
        examples=examples,
        batch_size=batch_size,
        total_steps=None,
    )
    assert steps == -(-epochs * examples // batch_size)


def test_percent_needs_a_whole():
    with pytest.raises(ValueError, match="5% cannot be the length of the run"):
        to_steps(parse_duration("5%"), examples=10, batch_size=2, total_steps=None)


def test_unknown_unit_of_a_duration():
    with pytest.raises(ValueError, match="did you mean 'epochs'"):
        to_steps(Duration(1, "epoch"), **SIZES)


@pytest.mark.parametrize("sizes", [(0, 4), (10, 0), (10, -1)])
def test_sizes_must_be_positive(sizes):
    examples, batch_size = sizes
    with pytest.raises(
        ValueError, match=f"examples is {examples} and batch_size is {batch_size}"
    ):
        to_steps(
            Duration(1, "steps"),
            examples=examples,
            batch_size=batch_size,
            total_steps=None,
        )
