"""JSON made to do harm: refused in one short sentence, and soon."""

import os

import pytest

from cnnjax.json_file import MAX_DEPTH, parse_json, read_json


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 200_000, "nested more than 100 levels"),
        ("[" * 200_000 + "]" * 200_000, "nested more than 100 levels"),
        ('{"a":' * 200_000, "nested more than 100 levels"),
        ("[" * 101 + "]" * 101, "nested more than 100 levels"),
        ('{"a":' * 500 + "1" + "}" * 500, "nested more than 100 levels"),
        ("9" * 5000, "a number of 5,000 digits, expected at most 40"),
        (f'{{"a": [-{"9" * 4200}]}}', "a number of 4,201 digits"),
        ("NaN", "NaN is not JSON, expected a finite number"),
        ("[-Infinity]", "-Infinity is not JSON"),
        (b"\xff\xfe", "can't decode byte 0xff"),
        ("", "Expecting value"),
        ("{} {}", "Extra data"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_it_is_refused_in_a_short_sentence(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse_json(text)
    assert len(str(caught.value)) < 200


def test_what_is_within_the_bounds_is_read():
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert str(parse_json(deep)) == deep
    assert parse_json(f'{{"a": {"9" * 40}, "b": [1.5, null]}}'.encode()) == {
        "a": 10**40 - 1,
        "b": [1.5, None],
    }
    assert parse_json('{"a": [1]}', object_pairs_hook=tuple) == (("a", [1]),)


def test_a_file_is_read_as_utf_8(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes('{"ü": 1}'.encode())
    assert read_json(path) == {"ü": 1}


def test_a_file_that_is_too_large_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr("cnnjax.json_file.MAX_BYTES", 1000)
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match="more than 1,000 bytes"):
        read_json(path)


def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(OSError, match="a named pipe, expected a regular file"):
        read_json(tmp_path / "a.json")
