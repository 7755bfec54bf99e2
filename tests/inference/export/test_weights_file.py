"""Weights alone: written, read back, and kept only if they are the checkpoint's."""

import jax
import numpy as np
import pytest

import cnnjax
from cnnjax.cli import main
from cnnjax.errors import ConfigError
from cnnjax.inference.export import export_run, weights_file
from cnnjax.models import state_dict
from cnnjax.weights import read_weights

ENDINGS = {"safetensors": "safetensors", "torch": "pth"}


@pytest.mark.parametrize("form", ENDINGS)
@pytest.mark.parametrize("case", ["batch norm", "regression"])
def test_the_file_holds_the_weights_of_the_checkpoint(trained_case, case, form, capsys):
    workdir = trained_case(case)
    assert main(["export", f"--workdir={workdir}", f"--format={form}"]) == 0
    assert "read back bit for bit" in capsys.readouterr().out
    trained = cnnjax.load(workdir)
    expected = state_dict(trained.model, trained.variables)
    found = read_weights(workdir / f"model.{ENDINGS[form]}")
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_another_weight_is_caught_and_nothing_is_kept(trained_case, monkeypatch):
    workdir, save = trained_case("regression"), weights_file.save_weights

    def spoil(model, variables, *others):
        save(model, jax.tree.map(lambda x: x + 1e-6, variables), *others)

    monkeypatch.setattr(weights_file, "save_weights", spoil)
    output = str(workdir / "spoiled.safetensors")
    with pytest.raises(ConfigError, match="would not hold the same weights"):
        export_run(str(workdir), "safetensors", output)
    assert not [path for path in workdir.iterdir() if "spoiled" in path.name]


def test_images_and_other_endings_are_refused(trained_case):
    workdir = str(trained_case("regression"))
    with pytest.raises(ConfigError, match="holds weights alone"):
        export_run(workdir, "torch", data="digits")
    with pytest.raises(ConfigError, match=r"expected a name that ends with \.pth"):
        export_run(workdir, "torch", f"{workdir}/a.torch")
