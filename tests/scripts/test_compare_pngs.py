"""scripts/compare_pngs.py on the digits: PNG files train as IDX files do."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

SCRIPT = Path(__file__).parents[2] / "scripts" / "compare_pngs.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("compare_pngs", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def digits(tmp_path, script):
    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8) * 15).astype(np.uint8)
    for prefix, rows in (("train", slice(0, 1400)), ("t10k", slice(1400, None))):
        script.write_idx(tmp_path / f"{prefix}-images-idx3-ubyte", images[rows])
        labels_path = tmp_path / f"{prefix}-labels-idx1-ubyte"
        script.write_idx(labels_path, labels[rows].astype(np.uint8))
    return tmp_path


@pytest.mark.slow
def test_png_files_train_as_idx_files_do(script, digits, capsys):
    assert script.main([f"--idx={digits}", "--duration=30 steps"]) == 0
    *ways, accuracy = capsys.readouterr().out.splitlines()[-4:]
    assert [way.partition(":")[0] for way in ways] == [*script.WAYS]
    for way in ways:
        count = int(way.partition(": ")[2].partition(" ")[0])
        assert count > 30 and way.endswith("the same")
    assert float(accuracy.split()[-1].rstrip("%")) > 20


@pytest.mark.slow
def test_a_difference_is_found(script, digits, capsys, monkeypatch):
    monkeypatch.setattr(script, "WAYS", {"PNG files": {"data.flip": False}})
    assert script.main([f"--idx={digits}", "--duration=3 steps"]) == 1
    assert "DIFFERENT" in capsys.readouterr().out
