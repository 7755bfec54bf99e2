"""Settings: files, changes from the command line, checks, and the way to JSON."""

import json
import os
from pathlib import Path

import pytest

from cnnjax.config import default_config, find
from cnnjax.config.defaults import kind_of
from cnnjax.config.files import from_json, load_config, to_json
from cnnjax.errors import ConfigError

HEAD = """
from cnnjax.config import default_config
def get_config():
    config = default_config()
"""
CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.py"))
DIGITS = Path(__file__).parents[2] / "configs" / "digits.py"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_loads_and_survives_json(path):
    config = load_config(path)
    assert from_json(to_json(config)).to_dict() == config.to_dict()


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
        ("model.blocks", "3", (3,)),
        ("model.dense", "16", (16,)),
        ("schedule.boundaries", "5 epochs", ("5 epochs",)),
        ("schedule.boundaries", "('5%', '9%')", ("5%", "9%")),
        ("compilation_cache", "true", "true"),
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
        ("data", "digits", "data is a section; set one of its keys: data.augment"),
        ("batch_size", "0", "batch_size is 0, expected a whole number from 1"),
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
        (
            "loss.name",
            "hinge",
            "'hinge', expected 'softmax', 'sigmoid', 'mse', 'huber' or",
        ),
        ("data.validation_fraction", "1", "validation_fraction is 1.0, expected"),
        ("seed", "-1", "seed is -1, expected a whole number from 0"),
        ("seed", "true", "seed is True, expected a whole number"),
        ("seed", "9" * 5000, "seed is '9999"),
        ("optimizer.learning_rate", "nan", "'nan', expected a number"),
        ("optimizer.learning_rate", "0,05", "'0,05', expected a number"),
        ("optimizer.learning_rate", "1e39", "above 0, at most 3.4e38"),
        ("optimizer.learning_rate", "9" * 400, "expected a number"),
        ("model.widths", "-" * 9000, "expected whole numbers"),
        ("model.widths", "{}", "expected one value"),
        ("model.widths", "(2147483648,)", "whole numbers from 1 to 2147483647"),
        ("model.blocks", "1001", "blocks is (1001,), expected whole numbers from 1"),
        ("model.multiplier", "0,5", "multiplier is (0, 5), expected a number above 0"),
        ("freeze", "(" * 20_000, "(((..., expected a regular expression"),
        ("freeze", "(a)" * 50_000 + "(", "expected a regular expression"),
        ("init_load", "a{99999999999}", "expected a regular expression"),
        ("early_stopping", "{}", "early_stopping is a section"),
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
        ("1 / 0", "ZeroDivisionError"),
        ("import sys; sys.exit(3)", "SystemExit"),
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
        (
            HEAD + "    config.model.widths = {3}\n    return config\n",
            "a setting is a string",
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("config.batch_size = None", "batch_size is None, expected a whole number"),
        ("config.optimizer.learning_rate = float('nan')", "is nan, expected a number"),
        ("config.optimizer.weight_decay = float('inf')", "is inf, expected a number"),
        ("config.model.widths = {}", "widths is {}, expected one value"),
        ("config.seed = 10**5000", "a setting is a string, a number"),
        ("config.model.blocks = [[3]]", "blocks is ([3],), expected whole numbers"),
        ("config.unlock(); config.lerning_rate = 3", "unknown setting"),
        ("config.optimizer.momentum = 2.0", "optimizer.momentum is 2.0, expected"),
        ("config.model.widths = (0,)", "model.widths is (0,), expected whole"),
        ("config.model.kernel_size = 3.5", "model.kernel_size is 3.5, expected"),
    ],
)
def test_a_file_is_checked_as_the_command_line_is(tmp_path, change, message):
    path = tmp_path / "c.py"
    path.write_text(f"{HEAD}    {change}\n    return config\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert message in str(caught.value)


def test_what_a_file_leaves_out_is_the_default(tmp_path):
    path = tmp_path / "c.py"
    path.write_text(
        f"{HEAD}    del config.optimizer.learning_rate\n    return config\n"
    )
    assert load_config(path).optimizer.learning_rate == 0.1


def test_a_config_file_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    (tmp_path / "c.py").write_text(f"{HEAD}    return config\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_config("~/c.py").seed == 0


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="there is no config file"):
        load_config(tmp_path / "none.py")


ODD = ("no", "", True, -1, 10**39, 1e39, 0.5, [], [0], {"a": 1}, None)
SECTIONS = {k: v for k, v in default_config().to_dict().items() if isinstance(v, dict)}
CLOSED = [
    *(name for name in default_config() if name not in SECTIONS),
    *(f"{name}.{key}" for name, section in SECTIONS.items() for key in section),
]


@pytest.mark.parametrize("name", CLOSED)
def test_an_odd_value_is_of_the_setting_s_type_or_refused_by_name(name):
    section, _, key = name.rpartition(".")
    for value in ODD:
        tree = {key: value}
        try:
            config = from_json(json.dumps({section: tree} if section else tree))
        except ConfigError as error:
            assert name in str(error)
            assert len(str(error)) < 300 or "unknown setting" in str(error)
        else:
            taken = find(config, name)
            assert type(taken) in (kind_of(name), type(None))
            assert taken is not None or find(default_config(), name) is None


def test_one_number_set_in_a_file_is_a_list_of_one(tmp_path):
    path = tmp_path / "c.py"
    path.write_text(f"{HEAD}    config.model.widths = 16\n    return config\n")
    assert load_config(path).model.widths == (16,)


def test_the_value_in_a_file_does_not_decide_the_type_of_an_option(tmp_path):
    path = tmp_path / "c.py"
    path.write_text(f"{HEAD}    config.optimizer.momentum = 0\n    return config\n")
    assert load_config(path, {"optimizer.momentum": "0.9"}).optimizer.momentum == 0.9


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"model":' * 200_000, f'{{"seed": {"9" * 5000}}}']
)
def test_json_made_to_do_harm_is_refused_in_a_sentence(text):
    with pytest.raises(ConfigError, match="the config is not JSON") as caught:
        from_json(text)
    assert len(str(caught.value)) < 200


def test_a_named_pipe_as_a_config_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "c.py")
    with pytest.raises(ConfigError, match=r"c\.py is a named pipe, expected a regular"):
        load_config(tmp_path / "c.py")


def test_damaged_json_is_refused():
    with pytest.raises(ConfigError, match="not JSON"):
        from_json("{")
    with pytest.raises(ConfigError, match="did you mean 'batch_size'"):
        from_json('{"batch_sise": 3}')
    with pytest.raises(ConfigError, match="expected settings by name"):
        from_json("[1]")
    with pytest.raises(ConfigError, match="model is 3, expected a section"):
        from_json('{"model": 3}')


def test_a_value_that_was_renamed_is_read_from_old_runs_and_refused_in_new_ones():
    assert from_json('{"backend": "onednn"}').backend == "native"
    with pytest.raises(ConfigError, match="'onednn', which is called 'native' now"):
        load_config(DIGITS, {"backend": "onednn"})


def test_a_config_in_the_current_folder_may_be_loaded_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beside.py").write_text("SEED = 5\n")
    (tmp_path / "mine.py").write_text(
        "import beside\n"
        "from cnnjax.config import default_config\n"
        "def get_config():\n"
        "    config = default_config()\n"
        "    config.seed = beside.SEED\n"
        "    return config\n"
    )
    assert [load_config(name).seed for name in ("mine.py", "./mine.py")] == [5, 5]
