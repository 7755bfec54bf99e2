"""The examples of docs/python.md, run in their order."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


@pytest.mark.slow
def test_the_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "docs_python"}
    for number, example in enumerate(
        re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    ):
        exec(compile(example, f"{PAGE.name}, example {number}", "exec"), names)
    printed = capsys.readouterr().out
    assert re.search(r"^test accuracy \d+%$", printed, re.MULTILINE)
    assert re.search(r"^step \d+: \d+%$", printed, re.MULTILINE)
    assert re.search(r"ended after step \d+: callback$", printed, re.MULTILINE)
    assert "True" in printed.splitlines()
