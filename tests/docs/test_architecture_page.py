"""docs/architecture.md against the code: files and functions that it names exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text()
NAMED = set(re.findall(r"`([\w/]+\.(?:py|cc))(?:: ([\w.]+))?[`,]", PAGE))


@pytest.mark.parametrize(("path", "name"), sorted(NAMED))
def test_files_and_functions_exist(path, name):
    file = ROOT / ("" if path.startswith("scripts/") else "cnnjax") / path
    assert file.is_file(), f"there is no {path}"
    if file.suffix == ".cc":
        assert not name or re.search(rf"\b{name}\(", file.read_text()), (
            f"{path} has no {name}"
        )
        return
    body = ast.parse(file.read_text()).body if name else []
    for part in filter(None, name.split(".")):
        found = [node for node in body if getattr(node, "name", None) == part]
        assert found, f"{path} has no {name}"
        body = getattr(found[0], "body", [])


def test_hops_are_numbered_in_order():
    for section in PAGE.split("\n## "):
        numbers = [int(n) for n in re.findall(r"^(\d+)\. ", section, re.M)]
        assert numbers == [*range(1, len(numbers) + 1)]
