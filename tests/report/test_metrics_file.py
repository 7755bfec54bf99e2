"""Metrics survive the file, non-finite numbers and killed processes."""

import json
import math

import numpy as np
import pytest

from cnnjax.report.metrics_file import MetricsFile, read_metrics

FIRST = {"kind": "train", "step": 1, "loss": 0.1, "accuracy": None}
SECOND = {"kind": "validation", "step": 2, "loss": 1e-30}


def write(path, *records):
    metrics = MetricsFile(path)
    metrics.start({"name": "digits"})
    metrics.step({"step": 1})
    for record in records:
        metrics.log(record)
    metrics.message("not kept")
    metrics.close()


def test_round_trip(tmp_path):
    path = tmp_path / "new" / "metrics.jsonl"
    write(path, FIRST)
    write(path, SECOND)
    assert read_metrics(path) == [FIRST, SECOND]
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        FIRST,
        SECOND,
    ]


def test_each_line_is_flushed(tmp_path):
    metrics = MetricsFile(tmp_path / "m")
    metrics.log(FIRST)
    assert read_metrics(tmp_path / "m") == [FIRST]
    metrics.close()


def test_non_finite_numbers_are_strings_in_the_file(tmp_path):
    record = {"a": math.nan, "b": math.inf, "c": np.float32(-math.inf)}
    write(tmp_path / "m", record)
    text = (tmp_path / "m").read_text()
    assert text == '{"a": "NaN", "b": "Infinity", "c": "-Infinity"}\n'
    (read,) = read_metrics(tmp_path / "m")
    assert math.isnan(read["a"])
    assert (read["b"], read["c"]) == (math.inf, -math.inf)


def test_numpy_numbers(tmp_path):
    write(tmp_path / "m", {"step": np.int64(3), "loss": np.float32(0.5)})
    assert read_metrics(tmp_path / "m") == [{"step": 3, "loss": 0.5}]


@pytest.mark.parametrize("torn", [b'{"kind": "tra', b'{"kind": "train"}', b"\0\0"])
def test_torn_last_line_is_passed_over_and_cut(tmp_path, torn):
    path = tmp_path / "m"
    write(path, FIRST)
    with path.open("ab") as file:
        file.write(torn)
    assert read_metrics(path) == [FIRST]
    write(path, SECOND)
    assert read_metrics(path) == [FIRST, SECOND]


def test_empty_file(tmp_path):
    (tmp_path / "m").touch()
    assert read_metrics(tmp_path / "m") == []


@pytest.mark.parametrize("damage", [b'{"kind": "tra', b"", b"[1]", b"\xff"])
def test_other_damage_names_the_line(tmp_path, damage):
    path = tmp_path / "m"
    write(path, FIRST)
    with path.open("ab") as file:
        file.write(damage + b"\n")
    write(path, SECOND)
    with pytest.raises(ValueError, match="m, line 2, should be a JSON object"):
        read_metrics(path)
