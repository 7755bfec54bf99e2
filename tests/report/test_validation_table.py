"""The table of validations: its columns, and which row is the best."""

import pytest

from cnnjax.report.validation_table import ValidationTable

INFO = {
    "total_steps": 2000,
    "monitor": "loss",
    "higher_is_better": False,
    "min_improvement": 0.0,
    "best": None,
}
STEP = {"loss": 1.25, "learning_rate": 0.0123, "images_per_second": 41234.5}


def record(step=20, loss=0.5, **metrics):
    return {
        "kind": "validation",
        "step": step,
        "epoch": step / 20,
        "loss": loss,
        **metrics,
        "examples": 359,
        "seconds": 70.0,
    }


def row(table, found, width=100):
    table.step({**STEP, "loss": 1.0})
    table.step({**STEP, "loss": 1.5})
    return table.row(found, width)


def test_a_wide_table_has_every_column():
    table = ValidationTable(INFO)
    found = row(table, record(accuracy=0.875, macro_f1=0.5))
    assert found.header == [
        "* marks the best validation loss yet",
        " epoch    step  train loss  val loss   accuracy  macro_f1        lr  images/s"
        "     time",
    ]
    assert found.text == (
        "  1.00      20      1.2500    0.5000*    87.50%    0.5000    0.0123    41,234"
        "     1:10"
    )


@pytest.mark.parametrize("width", range(1, 100))
def test_no_line_is_wider_than_the_terminal_and_the_monitor_stays(width):
    table = ValidationTable({**INFO, "monitor": "own", "higher_is_better": True})
    found = row(table, record(accuracy=0.875, other=1e30, own=0.75), width)
    assert all(len(line) <= width for line in (*found.header, found.text))
    if width >= 8:
        assert "0.7500*" in found.text


def test_the_header_is_shown_once_and_again_when_the_columns_change():
    table = ValidationTable(INFO)
    assert row(table, record(20)).header
    assert not row(table, record(40)).header
    assert row(table, record(60), width=40).header
    assert not row(table, record(80), width=40).header
    assert row(table, record(100, own=0.5), width=60).header
    assert row(ValidationTable(INFO), record(120)).header  # after a resume


def test_only_an_improvement_is_the_best():
    table = ValidationTable({**INFO, "min_improvement": 0.1})
    losses = [float("nan"), 0.5, 0.45, 0.4, 0.35, float("-inf"), 0.2]
    found = [row(table, record(20 * i, loss)) for i, loss in enumerate(losses)]
    assert [x.is_best for x in found] == [False, True, False, False, True, False, True]
    assert [x.text.count("*") for x in found] == [x.is_best for x in found]


def test_a_higher_accuracy_is_better():
    info = {**INFO, "monitor": "accuracy", "higher_is_better": True}
    table = ValidationTable(info)
    assert row(table, record(20, accuracy=0.5)).is_best
    assert not row(table, record(40, accuracy=0.25)).is_best
    assert row(table, record(60, accuracy=0.75)).is_best


def test_the_best_of_a_resumed_run_is_remembered():
    table = ValidationTable({**INFO, "best": {"step": 40, "loss": 0.3}})
    assert not row(table, record(60, 0.4)).is_best
    assert row(table, record(80, 0.2)).is_best
    table = ValidationTable({**INFO, "best": {"step": 40, "loss": None}})
    assert row(table, record(60, 0.4)).is_best


def test_after_a_rollback_later_rows_do_not_count():
    table = ValidationTable(INFO)
    assert row(table, record(20, 0.5)).is_best
    assert row(table, record(40, 0.1)).is_best
    table.rewind(30)
    assert row(table, record(40, 0.4)).is_best
