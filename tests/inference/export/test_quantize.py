"""ONNX files with 8-bit integers: kept for their measured accuracy."""

import json

import numpy as np
import onnx
import pytest

import cnnjax
from cnnjax.cli import main
from cnnjax.errors import ConfigError
from cnnjax.inference.export import Quantization, export_run, onnx_file, open_exported
from tests.support.inference.exports import make_arrays

INTEGERS = {
    "static": {"QuantizeLinear", "DequantizeLinear"},
    "dynamic": {"DynamicQuantizeLinear", "ConvInteger"},
}


@pytest.fixture(scope="module")
def workdir(trained_case):
    return str(trained_case("batch norm"))


@pytest.mark.parametrize("method", INTEGERS)
def test_a_quantized_file_and_its_certificate(workdir, tmp_path, method):
    how = Quantization(method, calibration_examples=20, max_loss=1)
    path, facts = export_run(
        workdir, "onnx", str(tmp_path / "a.onnx"), quantize=how, split="train"
    )
    proof = facts["certificate"]
    exported = open_exported(str(path))
    assert exported.metadata.certificate == proof
    nodes = onnx.load(path).graph.node
    assert INTEGERS[method] <= {node.op_type for node in nodes}
    assert "BatchNormalization" not in {node.op_type for node in nodes}
    assert nodes[-1].op_type == "Softmax"  # in float32

    arrays = make_arrays("batch norm")  # the run's data, split as in training
    trained = cnnjax.load(workdir)
    logits, expected = exported.run(arrays["images"]), trained.logits(arrays["images"])
    assert 0 < np.abs(logits - expected).max() < 0.2 * np.abs(expected).max()
    count = proof["examples"]
    assert 0 < proof["same_predictions"] <= count
    assert proof["quantized_accuracy"] * count == pytest.approx(
        round(proof["quantized_accuracy"] * count)
    )
    assert (proof["quantization"], proof["split"]) == (method, "train")
    assert proof["calibration_examples"] == (20 if method == "static" else None)
    assert proof["float_bytes"] > 0
    assert not [*tmp_path.glob(".*")]


def test_accuracies_are_those_of_the_examples(workdir, tmp_path):
    arrays = make_arrays("batch norm", seed=3)
    trained = cnnjax.load(workdir)
    labels = trained.logits(arrays["images"]).argmax(-1)
    labels[:15] = (labels[:15] + 1) % 3  # wrong, so 75 % are right
    arrays |= {"labels": labels}
    np.savez(tmp_path / "new.npz", **arrays)  # type: ignore[arg-type]
    path, facts = export_run(
        *(workdir, "onnx", str(tmp_path / "a.onnx")),
        data=f"npz:{tmp_path / 'new.npz'}",
        quantize=Quantization("dynamic", max_loss=1),
    )
    found = open_exported(str(path)).run(arrays["images"]).argmax(-1)
    proof = facts["certificate"]
    assert proof["accuracy"] == 0.75
    assert proof["quantized_accuracy"] == pytest.approx((found == labels).mean())


def test_a_file_that_loses_accuracy_is_not_kept(workdir, tmp_path, monkeypatch):
    run_for_proof = onnx_file.run_for_proof

    def spoil(path):
        with run_for_proof(path) as run:
            yield lambda images: -run(images)

    monkeypatch.setattr(
        onnx_file, "run_for_proof", onnx_file.contextlib.contextmanager(spoil)
    )
    arrays = make_arrays("batch norm", seed=3)
    labels = cnnjax.load(workdir).logits(arrays["images"]).argmax(-1)
    arrays |= {"labels": labels}
    np.savez(tmp_path / "new.npz", **arrays)  # type: ignore[arg-type]
    message = (
        r"accuracy of 0\.00% on 60 examples \(all\), and the checkpoint 100\.00%:"
        r" expected a drop of at most 1\.00%"
    )
    with pytest.raises(ConfigError, match=message):
        export_run(
            *(workdir, "onnx", str(tmp_path / "a.onnx")),
            data=f"npz:{tmp_path / 'new.npz'}",
            quantize=Quantization("dynamic"),
        )
    assert [path.name for path in tmp_path.iterdir()] == ["new.npz"]


def test_the_command_prints_accuracy_and_size(workdir, tmp_path, capsys):
    words = ["export", f"--workdir={workdir}", "--format=onnx", "--quantize=dynamic"]
    path = tmp_path / "b.onnx"
    assert main([*words, "--max-loss=1", f"--output={path}"]) == 0
    assert "accuracy: " in capsys.readouterr().out
    beside = json.loads(path.with_name("b.onnx.json").read_text())
    assert beside["certificate"]["max_loss"] == 1


REFUSED = {
    "format": (["--format=stablehlo"], "only --format=onnx can be quantized"),
    "unchecked": (["--format=onnx", "--no-verify"], "leave one of them out"),
    "loss": (["--format=onnx", "--max-loss=5"], "--max-loss is 5, expected a fraction"),
    "none": (
        ["--format=onnx", "--calibration-examples=0"],
        "--calibration-examples is 0, expected a whole number above 0",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_options_are_refused(workdir, case, capsys):
    words, message = REFUSED[case]
    words = ["export", f"--workdir={workdir}", "--quantize=static", *words]
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_options_without_quantize_are_refused(workdir, capsys):
    words = ["export", f"--workdir={workdir}", "--format=onnx", "--max-loss=0.1"]
    assert main(words) == 2
    assert "--max-loss is given without --quantize" in capsys.readouterr().err


def test_a_regression_is_refused(trained_case):
    with pytest.raises(ConfigError, match="which regression does not have"):
        how = Quantization("static")
        export_run(str(trained_case("regression")), "onnx", quantize=how)
