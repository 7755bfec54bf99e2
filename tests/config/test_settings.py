"""The table of settings, and what is made from it."""

import dataclasses
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_type_hints

import pytest

from cnnjax.cli import main
from cnnjax.config import default_config, find
from cnnjax.config.defaults import OPEN_SECTIONS
from cnnjax.config.page import with_table
from cnnjax.config.setting import OPTION
from cnnjax.config.settings import BY_NAME, SETTINGS
from cnnjax.models import MODELS
from cnnjax.optim.schedules import SCHEDULES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "configuration.md"
DIGITS = str(ROOT / "configs" / "digits.py")


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_each_default_is_of_its_kind_and_allowed(setting):
    if setting.default is OPTION:
        assert setting.name.split(".")[0] in OPEN_SECTIONS
        return
    assert find(default_config(), setting.name) == setting.default
    if setting.default is not None:
        assert type(setting.default) is setting.kind
        assert setting.rule.allows(setting.default)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_each_setting_is_described_in_sentences(setting):
    assert setting.sentence[-1] == "."
    assert setting.sentence[0].isupper() or setting.name.startswith("schedule.")
    assert setting.rule.expected[-1] != "."


def test_no_name_is_there_twice():
    assert len(BY_NAME) == len(SETTINGS)


def test_the_page_has_the_table_of_today():
    """If not: python -m cnnjax.config.page docs/configuration.md."""
    page = PAGE.read_text()
    assert with_table(page) == page


def test_a_page_without_the_marks_is_refused():
    with pytest.raises(ValueError, match="add them"):
        with_table("nothing")


def test_the_names_in_the_table_are_those_that_exist():
    expected = BY_NAME["schedule.name"].rule.expected
    names = expected.replace(" or ", ", ").split(", ")
    assert sorted(names) == [repr(name) for name in sorted(SCHEDULES)]


def test_options_of_models_have_the_kinds_of_their_fields():
    hints = {Sequence[int]: tuple, float: float, int: int}
    for network in MODELS.values():
        annotations = get_type_hints(network)
        for field in dataclasses.fields(network):
            setting = BY_NAME.get(f"model.{field.name}")
            if setting is None:
                assert annotations[field.name] != Sequence[int], field.name
            elif field.name not in OTHER_NAMES:
                assert setting.kind is hints.get(annotations[field.name]), field.name


OTHER_NAMES = ("name",)  # of the module, not of the network


def test_the_command_lists_every_setting(capsys):
    assert main(["config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines if line and line[0] != " "]
    assert names == [setting.name for setting in SETTINGS]


def test_the_command_marks_what_a_file_and_overrides_change(capsys):
    words = ["--config.data.flip=true", "--config.optimizer.b1=0.8"]
    assert main(["config", f"--config={DIGITS}", *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "* data.flip = True  (default: False)" in lines
    assert "* optimizer.name = 'adamw'  (default: 'sgd')" in lines
    assert "* optimizer.b1 = 0.8" in lines
    assert "seed = 0" in lines
    assert (
        "    Examples per training step, over all devices. Expected: a whole number"
        in ("\n".join(lines))
    )


def test_the_command_refuses_what_training_refuses(capsys):
    assert main(["config", f"--config={DIGITS}", "--config.batch_size=0"]) == 2
    assert "batch_size is 0, expected a whole number" in capsys.readouterr().err


def test_the_command_does_not_load_jax():
    code = (
        "import sys; from cnnjax.cli import main; main(['config']);"
        " assert not {'jax', 'flax', 'optax'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
