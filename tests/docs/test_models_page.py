"""docs/models.md: its names, its lines of output, and its example."""

import re
from pathlib import Path

import pytest

from cnnjax.cli import main
from cnnjax.models import MODELS

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text()


def test_every_network_is_named():
    table = PAGE[PAGE.index("| family |") : PAGE.index("Parameter counts")]
    assert set(re.findall(r"`(\w+)`", table)) == set(MODELS)


def test_the_command_prints_what_the_page_shows(capsys):
    command, shown = re.search(r"^\$ cnnjax (.*)\n((?:.+\n)*)```", PAGE, re.M).groups()
    assert main(command.split()) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.slow
def test_the_example_runs(capsys):
    code = re.search(r"```python\n(.*?)```", PAGE, re.S).group(1)
    exec(code, {})
    assert capsys.readouterr().out == "(2, 64)\n"
