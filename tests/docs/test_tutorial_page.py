"""The tutorial, followed word for word in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text()
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_an_empty_folder_ends_with_right_predictions(tmp_path):
    folder = Path(sys.executable).parent
    env = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    printed = {}
    for language, text in BLOCK.findall(PAGE):
        if language == "python":
            name = re.match(r"# (\w+\.py)\n", text)[1]
            (tmp_path / name).write_text(text)
            continue
        for line in text.splitlines():
            done = subprocess.run(
                line.split(), cwd=tmp_path, env=env, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            printed[line] = done.stdout
    table = printed["cnnjax predict --workdir=runs/letters small"].splitlines()
    found = [
        re.match(r"small/([ABC])\d\.png +([ABC]) ", line).groups() for line in table
    ]
    assert len(found) == 6
    assert sum(letter == guess for letter, guess in found) >= 5
    assert len(printed["python use.py"].splitlines()) == 3
