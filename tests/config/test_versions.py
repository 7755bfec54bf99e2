"""Versions in ``config.json``: old files are migrated, newer ones are named."""

import json

import pytest

from cnnjax import __version__
from cnnjax.config import default_config, defaults
from cnnjax.config.files import from_json, load_config, to_json
from cnnjax.config.versions import from_file, to_file
from cnnjax.errors import ConfigError, UnknownSettingError
from tests.config.test_files import DIGITS


def test_a_file_states_its_versions_beside_the_settings():
    config = load_config(DIGITS)
    tree = json.loads(to_file(config))
    assert tree.pop("format_version") == 1
    assert tree.pop("cnnjax_version") == __version__
    assert tree == json.loads(to_json(config))
    assert from_file(to_file(config)).to_dict() == config.to_dict()


def test_a_file_without_versions_is_read_as_before():
    config = load_config(DIGITS)
    assert from_file(to_json(config)).to_dict() == config.to_dict()


def test_settings_and_values_that_were_renamed_are_migrated(monkeypatch):
    monkeypatch.setitem(defaults.RENAMED_SETTINGS, "lerning_rate", "batch_size")
    monkeypatch.setitem(defaults.RENAMED_SETTINGS, "data.mirror", "data.flip")
    text = '{"lerning_rate": 8, "data": {"mirror": true}, "backend": "onednn"}'
    for read in (from_file, from_json):
        config = read(text)
        assert (config.batch_size, config.data.flip) == (8, True)
        assert config.backend == "native"
    with pytest.raises(ConfigError, match="batch_size is set twice"):
        from_file('{"lerning_rate": 8, "batch_size": 9}')
    with pytest.raises(ConfigError, match=r"data\.mirror is called 'data.flip' now"):
        load_config(DIGITS, {"data.mirror": "true"})


def test_old_callbacks_stand_beside_the_usual_reporters():
    config = from_file('{"reporters": ["my_parts:Append"]}')
    assert config.report == ("terminal", "jsonl", "html", "my_parts:Append")
    assert from_file('{"reporters": []}').report == default_config().report
    with pytest.raises(ConfigError, match=r"called 'report' now, with default \('term"):
        load_config(DIGITS, {"reporters": "('my_parts:Append',)"})


def test_an_unknown_setting_is_named_with_the_version_that_wrote_it():
    tree = {"format_version": 1, "cnnjax_version": "0.3.0", "data": {"warp": 9}}
    with pytest.raises(UnknownSettingError) as caught:
        from_file(json.dumps(tree))
    assert str(caught.value) == (
        f"sets 'data.warp', which cnnjax {__version__} does not know; cnnjax 0.3.0"
        " wrote it: install that version"
    )
    with pytest.raises(UnknownSettingError, match="although that version wrote it"):
        from_file(json.dumps(tree | {"cnnjax_version": __version__}))
    del tree["cnnjax_version"]
    with pytest.raises(UnknownSettingError, match="was written by a newer version"):
        from_file(json.dumps(tree))


def test_a_newer_format_is_named_with_the_version_that_wrote_it():
    tree = {"format_version": 2, "cnnjax_version": "7.1.0"}
    with pytest.raises(UnknownSettingError, match="has format_version 2, but") as error:
        from_file(json.dumps(tree))
    assert "cnnjax 7.1.0 wrote it: install that version" in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format_version", value)
        for value in ("1e999", "-1", "true", "1.5", "null", '"1"', "[1]", "9" * 30)
    ]
    + [
        ("cnnjax_version", value)
        for value in ("1e999", "-1", '"' + "x" * 10**6 + '"', '""', r'"1.0\n"', "[]")
    ],
    ids=lambda text: text[:10],
)
def test_versions_that_nobody_writes_are_refused_in_a_sentence(key, value):
    with pytest.raises(ConfigError, match=f"{key} is .*, expected a ") as caught:
        from_file(f'{{"{key}": {value}}}')
    assert len(str(caught.value)) < 200


def test_the_text_of_a_checkpoint_s_settings_has_no_versions():
    assert "version" not in to_json(default_config())
