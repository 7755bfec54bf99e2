"""Metrics survive the file, non-finite numbers and killed processes."""

import contextlib
import json
import math
import resource

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


@contextlib.contextmanager
def room(size):
    """Files may have ``size`` bytes, and what is beyond fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def records(*steps):
    return [{"kind": "train", "step": step, "loss": 0.5} for step in steps]


def test_records_wait_for_room_and_are_written_in_order(tmp_path):
    path, told = tmp_path / "m", []
    metrics = MetricsFile(path, told.append)
    metrics.log(records(1)[0])
    with room(path.stat().st_size + 10):
        for record in records(2, 3):
            metrics.log(record)
            assert read_metrics(path) == records(1)
            assert path.read_bytes().endswith(b"\n")
    metrics.log(records(4)[0])
    assert read_metrics(path) == records(1, 2, 3, 4)
    metrics.close()
    assert len(told) == 2
    assert f"metrics cannot be written to {path} (File too large)" in told[0]
    assert str(path) in told[1]


def test_steps_taken_again_stand_once_though_their_records_waited(tmp_path):
    path = tmp_path / "m"
    metrics = MetricsFile(path, lambda text: None)
    for record in records(1, 2):
        metrics.log(record)
    with room(path.stat().st_size + 10):
        for record in records(3, 4):
            metrics.log(record)
        # Cutting takes no room.
        metrics.rewind(1)
        metrics.log(records(2)[0])
    metrics.close()
    assert read_metrics(path) == records(1, 2)


def test_records_that_found_no_room_to_the_end_are_an_error(tmp_path):
    path = tmp_path / "m"
    metrics = MetricsFile(path, lambda text: None)
    with room(10):
        metrics.log(records(1)[0])
        metrics.log(records(2)[0])
        with pytest.raises(OSError, match=r"the last 2 records of metrics.*File too"):
            metrics.close()
    metrics.close()
    assert read_metrics(path) == []
