"""Exported files: their outputs, their metadata, and their certificates."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import cnnjax
from cnnjax.inference.export import export_run, open_exported
from cnnjax.inference.export.program import digest, in_float32
from cnnjax.metrics import probabilities
from tests.support.inference.exports import CASES, FORMATS, make_arrays
from tests.support.inference.runs import NAMES

OUTPUTS = ("logits", "probabilities")


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("case", CASES)
def test_an_exported_file_predicts_as_its_run(trained_case, tmp_path, case, form):
    workdir, output = trained_case(case), tmp_path / f"a.{form}"
    path, facts = export_run(str(workdir), form, str(output))
    trained, exported = cnnjax.load(workdir), open_exported(str(path))
    images = make_arrays(case, seed=1)["images"]
    if form == "onnx":
        trained = in_float32(trained)
    close = {
        "rtol": 0,
        "atol": 0.05 if trained.config.precision == "bfloat16" else 1e-5,
    }
    for count in (1, 7):
        expected = trained.logits(images[:count])
        np.testing.assert_allclose(exported.run(images[:count]), expected, **close)
    found = exported.predict(images[:7], k=2)
    for ours, theirs in zip(found, trained.predict(images[:7], k=2), strict=True):
        if case == "regression":
            assert ours.values == pytest.approx(theirs.values, abs=1e-5)
        elif case != "bfloat16":
            assert [name for name, _ in ours.top] == [name for name, _ in theirs.top]
    proof = facts["certificate"]
    same = None if case == "regression" else proof["examples"]
    assert proof["same_predictions"] == same
    assert proof["largest_relative_difference"] <= proof["tolerance"]
    assert not [*tmp_path.glob(".*")]


@pytest.mark.parametrize("form", FORMATS)
def test_the_metadata_travel_in_the_file_and_beside_it(trained_case, tmp_path, form):
    workdir, output = trained_case("classes"), tmp_path / f"a.{form}"
    path, facts = export_run(str(workdir), form, str(output), step="last")
    beside = json.loads(Path(f"{path}.json").read_text())
    assert beside == json.loads(json.dumps(facts))
    assert beside["file_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    trained = cnnjax.load(workdir)
    inside = open_exported(str(path)).metadata
    assert inside.model == trained.description
    assert inside.weights_sha256 == digest(trained.variables)
    assert (inside.step, inside.certificate) == (5, facts["certificate"])
    assert (beside["class_names"], beside["task"]) == ([*NAMES], "classification")
    assert beside["cnnjax_version"] == cnnjax.__version__


@pytest.mark.parametrize("case", ["classes", "sigmoid"])
def test_onnxruntime_alone_runs_the_onnx_file(trained_case, tmp_path, case):
    path, _ = export_run(str(trained_case(case)), "onnx", str(tmp_path / "a.onnx"))
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path))
    (image,) = session.get_inputs()
    assert (image.name, image.type) == ("images", "tensor(uint8)")
    assert image.shape == ["batch", 9, 7, 3]
    assert tuple(output.name for output in session.get_outputs()) == OUTPUTS
    images = make_arrays(case, seed=1)["images"]
    logits, shares = session.run(None, {"images": images})
    expected = probabilities(np.asarray(logits), case == "sigmoid")
    np.testing.assert_allclose(shares, expected, atol=1e-6)
    texts = session.get_modelmeta().custom_metadata_map
    assert json.loads(texts["class_names"]) == [*NAMES]
    assert json.loads(texts["certificate"])["same_predictions"] == 12


PROGRAM = """
import json, sys, zipfile
import jax
import numpy as np

with zipfile.ZipFile(sys.argv[1]) as file:
    model = jax.export.deserialize(bytearray(file.read("program.jax")))
    facts = json.loads(file.read("metadata.json"))
logits, probabilities = model.call(np.load(sys.argv[2]))

assert "cnnjax" not in sys.modules
assert set(model.platforms) == {"cpu", "cuda", "tpu"}
print(json.dumps([facts["class_names"], logits.tolist()]))
"""


def test_jax_alone_runs_the_stablehlo_file(trained_case, tmp_path):
    workdir = trained_case("classes")
    path, _ = export_run(str(workdir), "stablehlo", str(tmp_path / "a.stablehlo"))
    images = make_arrays("classes", seed=1)["images"][:7]
    np.save(tmp_path / "images.npy", images)
    words = [sys.executable, "-c", PROGRAM, path, tmp_path / "images.npy"]
    printed = subprocess.run(words, check=True, capture_output=True, cwd=tmp_path)
    names, logits = json.loads(printed.stdout)
    assert names == [*NAMES]
    np.testing.assert_allclose(logits, cnnjax.load(workdir).logits(images), atol=1e-5)


def test_an_onnx_graph_has_one_node_per_operation(trained_case, tmp_path):
    workdir = trained_case("batch norm")
    path, _ = export_run(str(workdir), "onnx", str(tmp_path / "a.onnx"))
    nodes = [node.op_type for node in onnx.load(path).graph.node]
    start = nodes.index("Conv")
    layers = ["Conv", "BatchNormalization", "Relu", "MaxPool"]
    assert nodes[start : start + 4] == layers
    assert nodes.count("Transpose") == 2  # channels first, and back


def test_bfloat16_is_exported_in_float32_with_a_note(trained_case, tmp_path, capfd):
    workdir = trained_case("bfloat16")
    _, facts = export_run(str(workdir), "onnx", str(tmp_path / "a.onnx"))
    assert facts["precision"] == "float32"
    told = "computes in bfloat16, but the ONNX file computes in float32"
    assert told in capfd.readouterr().err
    _, facts = export_run(str(workdir), "stablehlo", str(tmp_path / "a.stablehlo"))
    assert facts["precision"] == "bfloat16"
