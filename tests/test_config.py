"""Settings: files, changes from the command line, checks, and the way to JSON."""

from pathlib import Path

import pytest

from cnnjax.config import RULES, ConfigError, default_config, find
from cnnjax.config_file import from_json, load_config, to_json

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))
DIGITS = Path(__file__).parents[1] / "configs" / "digits.py"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_loads_and_survives_json(path):
    config = load_config(path)
    assert from_json(to_json(config)).to_dict() == config.to_dict()


def test_every_rule_is_of_a_setting():
    config, optional = default_config(), {"model.dropout"}
    for name in RULES.keys() - optional:
        *path, key = name.split(".")
        assert key in (find(config, ".".join(path)) if path else config)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("optimizer.learning_rate", "0.05", 0.05),
        ("optimizer.learning_rate", "1", 1.0),
        ("optimizer.clip_norm", "2", 2.0),
        ("optimizer.clip_norm", "None", None),
        ("optimizer.b1", "0.8", 0.8),
        ("model.widths", "(8, 16)", (8, 16)),
        ("model.widths", "[8, 16]", (8, 16)),
        ("model.widths", "8", (8,)),
        ("model.dropout", "none", None),
        ("data.flip", "true", True),
        ("data.num_classes", "10", 10),
        ("duration", "3 epochs", "3 epochs"),
        ("data.source", "npz:a=b.npz", "npz:a=b.npz"),
        ("compilation_cache", "/tmp/x", "/tmp/x"),
    ],
)
def test_one_setting_is_changed(name, text, value):
    changed = find(load_config(DIGITS, {name: text}), name)
    assert changed == value
    assert type(changed) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("optimizer.learning_rat.x", "1", "unknown setting 'optimizer.learning_rat.x'"),
        ("batch_sise", "1", "did you mean 'batch_size'"),
        ("data.sauce", "digits", "did you mean 'data.source'"),
        ("dta.source", "digits", "did you mean 'data.source'"),
        ("data", "digits", "data is a section, set one of its keys: data.crop_padding"),
        ("batch_size", "0", "batch_size is 0, expected a whole number of 1 or more"),
        ("batch_size", "1.5", "batch_size is 1.5, expected a whole number"),
        ("batch_size", "None", "batch_size is None, expected a whole number"),
        ("batch_size", "many", "batch_size is 'many', expected a whole number"),
        ("data.flip", "1", "data.flip is 1, expected true or false"),
        ("model.dropout", "1.5", "model.dropout is 1.5, expected a number from 0"),
        ("model.dropout", "yes", "model.dropout is 'yes', expected a number"),
        ("optimizer.learning_rate", "-1", "is -1.0, expected a number above 0"),
        ("optimizer.learning_rate", "1e999", "is inf, expected a number above 0"),
        ("optimizer.weight_decay", "None", "weight_decay is None, expected a number"),
        ("optimizer.decay_mode", "both", "'both', expected 'decoupled' or 'l2'"),
        ("loss.name", "hinge", "'hinge', expected 'softmax' or 'sigmoid'"),
        ("data.validation_fraction", "1", "validation_fraction is 1.0, expected"),
        ("seed", "-1", "seed is -1, expected a whole number from 0"),
    ],
)
def test_an_impossible_setting_is_refused(name, text, message):
    with pytest.raises(ConfigError) as caught:
        load_config(DIGITS, {name: text})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1", "has no function get_config()"),
        ("def get_config(): return {}", "expected a ConfigDict"),
        ("def get_config(:", "invalid syntax"),
        ("import nothing_like_it", "No module named 'nothing_like_it'"),
        (
            "from cnnjax.config import default_config\n"
            "def get_config():\n"
            "    config = default_config()\n"
            "    config.batchsize = 3\n",
            "batch_size",
        ),
        (
            "from cnnjax.config import default_config\n"
            "def get_config():\n"
            "    config = default_config()\n"
            "    config.batch_size = 'x'\n",
            "int",
        ),
    ],
)
def test_a_broken_file_is_named(tmp_path, source, message):
    path = tmp_path / "broken.py"
    path.write_text(source)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert "broken.py" in str(caught.value)
    assert message in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no config file"):
        load_config(tmp_path / "none.py")


def test_damaged_json_is_refused():
    with pytest.raises(ConfigError, match="not JSON"):
        from_json("{")
    with pytest.raises(ConfigError, match="did you mean 'batch_size'"):
        from_json('{"batch_sise": 3}')
