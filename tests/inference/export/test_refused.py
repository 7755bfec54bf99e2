"""Exports that must not be kept, and files that must not be run."""

import json
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest

import cnnjax
from cnnjax import files
from cnnjax.errors import ConfigError, DataError
from cnnjax.inference.export import (
    export_run,
    exporters,
    onnx_file,
    open_exported,
    stablehlo_file,
)
from cnnjax.weights import write
from tests.support.inference.exports import FORMATS, make_arrays
from tests.support.inference.runs import train_small

MODULES = {"onnx": onnx_file, "stablehlo": stablehlo_file}


@pytest.fixture
def workdir(trained_case):
    return str(trained_case("classes"))


@pytest.fixture(params=FORMATS)
def path(request, workdir, tmp_path):
    return export_run(workdir, request.param, str(tmp_path / f"a.{request.param}"))[0]


@pytest.mark.parametrize("form", FORMATS)
def test_other_weights_are_caught_and_nothing_is_kept(
    workdir, tmp_path, monkeypatch, form
):
    build = MODULES[form].build

    def build_others(trained):
        variables = jax.tree.map(lambda leaf: leaf * 1.001, trained.variables)
        return build(cnnjax.TrainedModel(**{**vars(trained), "variables": variables}))

    monkeypatch.setattr(MODULES[form], "build", build_others)
    with pytest.raises(ConfigError, match="disagrees with the checkpoint on 12"):
        export_run(workdir, form, str(tmp_path / f"a.{form}"))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("form", FORMATS)
def test_without_proof_the_file_says_so(workdir, tmp_path, capfd, form):
    path, facts = export_run(workdir, form, str(tmp_path / f"a.{form}"), verify=False)
    assert facts["certificate"] is None
    assert open_exported(str(path)).metadata.certificate is None
    assert "exported unchecked (--no-verify)" in capfd.readouterr().err


@pytest.mark.slow
def test_a_run_without_its_data_says_what_to_do(tmp_path):
    run = train_small(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"Give.*--data=SOURCE.*--no-verify"):
        export_run(str(run.workdir), "stablehlo")
    arrays = make_arrays("classes", seed=2)
    np.savez(tmp_path / "new.npz", images=arrays["images"], labels=arrays["labels"])
    source = f"npz:{tmp_path / 'new.npz'}"
    _, facts = export_run(str(run.workdir), "stablehlo", data=source)
    proof = facts["certificate"]
    assert (proof["data"], proof["split"], proof["examples"]) == (source, "all", 60)


def test_a_damaged_file_is_refused(path):
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(DataError, match=r"is not the file that .* describes"):
        open_exported(str(path))
    path.with_name(f"{path.name}.json").unlink()
    with pytest.raises(DataError, match="damaged"):
        open_exported(str(path))


def test_changed_bytes_are_refused_beside_the_digest(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged or was changed"):
        open_exported(str(path))


def test_foreign_files_are_refused(tmp_path):
    (tmp_path / "a.onnx").write_text("not a graph")
    with pytest.raises(DataError, match="not an ONNX file, or is damaged"):
        open_exported(str(tmp_path / "a.onnx"))
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1])
        for name in "xy"
    ]
    graph = onnx.helper.make_graph([node], "g", values[:1], values[1:])
    onnx.save(onnx.helper.make_model(graph), str(tmp_path / "b.onnx"))
    with pytest.raises(DataError, match="was not written by 'cnnjax export'"):
        open_exported(str(tmp_path / "b.onnx"))
    with zipfile.ZipFile(tmp_path / "a.stablehlo", "w") as archive:
        archive.writestr("x", "y")
    with pytest.raises(DataError, match="was not written by 'cnnjax export'"):
        open_exported(str(tmp_path / "a.stablehlo"))
    with pytest.raises(DataError, match="cannot be read: No such file"):
        open_exported(str(tmp_path / "none.onnx"))
    with pytest.raises(ConfigError, match=r"ends with \.onnx or \.stablehlo"):
        open_exported(str(tmp_path / "a.bin"))


def test_an_onnx_file_with_more_than_standard_nodes_is_refused(workdir, tmp_path):
    path, _ = export_run(workdir, "onnx", str(tmp_path / "a.onnx"))
    proto = onnx.load(path)
    proto.graph.node[-1].domain = "com.example"
    onnx.save(proto, str(tmp_path / "b.onnx"))
    with pytest.raises(DataError, match=r"holds the operator com\.example\.Softmax"):
        open_exported(str(tmp_path / "b.onnx"))
    proto = onnx.load(path)
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    (tmp_path / "c.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(DataError, match="keeps arrays in other files"):
        open_exported(str(tmp_path / "c.onnx"))


def test_a_program_that_calls_other_code_is_refused(workdir, tmp_path):
    path, _ = export_run(workdir, "stablehlo", str(tmp_path / "a.stablehlo"))
    with zipfile.ZipFile(path) as archive:
        texts = archive.read("metadata.json")
    program = jax.jit(lambda x: (jnp.linalg.cholesky(jnp.eye(5) * x.sum()),))
    spec = jax.ShapeDtypeStruct((1, 9, 7, 3), jnp.uint8)
    exported = jax.export.export(program, platforms=["cpu"])(spec)
    with zipfile.ZipFile(tmp_path / "b.stablehlo", "w") as archive:
        archive.writestr("metadata.json", texts)
        archive.writestr("program.jax", bytes(exported.serialize()))
    with pytest.raises(DataError, match="calls @lapack_spotrf_ffi, which cnnjax never"):
        open_exported(str(tmp_path / "b.stablehlo"))


@pytest.mark.parametrize("name", ["image_shape", "step", "task"])
def test_damaged_metadata_are_refused(workdir, tmp_path, name):
    path, _ = export_run(workdir, "stablehlo", str(tmp_path / "a.stablehlo"))
    with zipfile.ZipFile(path) as archive:
        values = json.loads(archive.read("metadata.json"))
        program = archive.read("program.jax")
    for damage, reason in (({name: [0]}, "are damaged"), ({}, "lack")):
        changed = {k: v for k, v in values.items() if k != name or damage} | damage
        with zipfile.ZipFile(tmp_path / "b.stablehlo", "w") as archive:
            archive.writestr("metadata.json", json.dumps(changed))
            archive.writestr("program.jax", program)
        if name == "task" and not damage:  # older files lack it
            continue
        with pytest.raises(DataError, match=f"its metadata {reason}"):
            open_exported(str(tmp_path / "b.stablehlo"))


REFUSED = {
    "format": (("tflite", None), "unknown format 'tflite'.*onnx, .*stablehlo"),
    "ending": (("onnx", "a.bin"), r"--output is 'a.bin', expected .* ends with \.onnx"),
    "folder": (("onnx", "/nowhere/a.onnx"), "its folder does not exist"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_arguments_are_refused(workdir, case):
    arguments, message = REFUSED[case]
    with pytest.raises(ConfigError, match=message):
        export_run(workdir, *arguments)


def test_images_that_the_file_cannot_take_are_refused(path):
    exported = open_exported(str(path))
    images = make_arrays("classes")["images"].astype(np.float32)
    exported.predict(images)  # whole numbers
    with pytest.raises(DataError, match="the file takes uint8: give whole numbers"):
        exported.predict(images + 0.5)


@pytest.mark.parametrize("form", [*FORMATS, "safetensors", "torch"])
def test_a_file_that_cannot_be_written_is_named(workdir, tmp_path, monkeypatch, form):
    path = tmp_path / ("a.pth" if form == "torch" else f"a.{form}")
    path.mkdir()
    with pytest.raises(ConfigError, match="cannot be written: it is a folder"):
        export_run(workdir, form, str(path))
    path.rmdir()
    with monkeypatch.context() as changed:
        changed.setattr(files.os, "access", lambda *_: False)
        with pytest.raises(ConfigError, match="nothing may be written into its folder"):
            export_run(workdir, form, str(path))

    class Full(type(Path())):
        """Files on a full disk."""

        def open(self, mode="r", *others, **options):
            if mode.startswith(("w", "x")):
                raise OSError(28, "No space left on device", str(self))
            return super().open(mode, *others, **options)

    monkeypatch.setattr(exporters, "Path", Full)
    monkeypatch.setattr(write, "expand_path", lambda name, _: Full(name))
    with pytest.raises(OSError, match=r"/a\.\w+ cannot be written.*No space left"):
        export_run(workdir, form, str(path))
    assert not [*tmp_path.iterdir()]
