"""docs/export.md: its programs run as they stand there."""

import re
from pathlib import Path

import pytest

import cnnjax
from cnnjax.inference.export import export_run

PAGE = (Path(__file__).parents[2] / "docs/export.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    settings = {
        "model": {"name": "simple_cnn", "widths": (4,), "dense": (8,)},
        "data.source": "digits",
        "duration": "2 steps",
        "report": ("jsonl",),
    }
    workdir = folder / "runs/digits"
    cnnjax.train(settings, workdir=workdir, progress="none")
    for form in ("onnx", "stablehlo"):
        export_run(str(workdir), form)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("number", range(3))
def test_programs_run(folder, monkeypatch, capsys, number):
    monkeypatch.chdir(folder)
    assert len(PROGRAMS) == 3
    exec("import numpy as np\n" + PROGRAMS[number], {})
    assert re.fullmatch(r"[0-9]\n", capsys.readouterr().out)
