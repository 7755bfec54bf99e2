"""The values of ``--set``: what they stand for, and which ones are refused."""

import pytest

from cnnjax.errors import ConfigError
from cnnjax.sweep.choices import Choices, Interval, parse_set, parse_sets, split_list


@pytest.mark.parametrize(
    ("word", "texts"),
    [
        ("optimizer.learning_rate=1e-3, 3e-3", ("1e-3", "3e-3")),
        ("seed=0:3", ("0", "1", "2")),
        ("seed=-1:1,7", ("-1", "0", "7")),
        ("model.widths=(4, 8),[8,(1,2)]", ("(4, 8)", "[8,(1,2)]")),
        ("data.source=npz:a=b.npz,'x,y'", ("npz:a=b.npz", "'x,y'")),
        ("data.source=0:3", ("0:3",)),  # a text, in which a range means nothing
        ("data.source=1..2", ("1..2",)),
    ],
)
def test_lists_and_ranges(word, texts):
    assert parse_set(word) == Choices(word.partition("=")[0], texts)


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("optimizer.learning_rate=1e-4..1e-1:log", (1e-4, 0.1, True)),
        ("optimizer.learning_rate=1..2", (1.0, 2.0, False)),
        ("model.dropout=.0..0.5", (0.0, 0.5, False)),
        ("batch_size=8..64:log", (8, 64, True)),
    ],
)
def test_intervals(text, ends):
    found = parse_set(text)
    assert found == Interval(text.partition("=")[0], *ends)
    assert isinstance(found, Interval)
    assert found.is_whole == text.startswith("batch_size")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("seed", "expected NAME=VALUES"),
        ("=1", "expected NAME=VALUES"),
        ("seed=", "a value is empty"),
        ("seed=1,,2", "a value is empty"),
        ("seed=3:3", "a range of 0 values"),
        ("seed=0:2000", "a range of 2,000 values"),
        ("seed=0:3,1", "holds '1' twice"),
        ("batch_size=8..4", "LOW < HIGH"),
        ("batch_size=1.5..4", "expected whole numbers"),
        ("model.dropout=0..0.5:log", "expected LOW above 0"),
    ],
)
def test_refusals(word, message):
    with pytest.raises(ConfigError, match=message):
        parse_set(word)


def test_settings_are_named_once():
    with pytest.raises(ConfigError, match="nothing to sweep"):
        parse_sets([], [])
    with pytest.raises(ConfigError, match="--set seed is given twice"):
        parse_sets(["seed=1", "seed=2"], [])
    with pytest.raises(ConfigError, match=r"fixed by --config\.seed"):
        parse_sets(["seed=1"], ["batch_size", "seed"])
    with pytest.raises(ConfigError, match="monitor cannot be swept"):
        parse_sets(["monitor=loss,accuracy"], [])


def test_a_comma_in_brackets_or_quotes_separates_nothing():
    assert split_list("a,(b,[c,d]),'e,f',\"g,\"") == [
        "a",
        "(b,[c,d])",
        "'e,f'",
        '"g,"',
    ]
