"""``cnnjax export`` and ``cnnjax predict --model``, called as ``main``."""

import json

import numpy as np
import pytest
from PIL import Image

import cnnjax
from cnnjax.cli import main
from tests.support.inference.exports import FORMATS, train_case
from tests.support.inference.runs import SETTINGS, make_split


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return train_case("classes", tmp_path_factory.mktemp("run"))


@pytest.fixture
def folder(tmp_path):
    """A folder with image files of the model's size, and a damaged one."""
    for number, image in enumerate(make_split(3, seed=1).images):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_the_file_lies_in_the_run_and_predicts_like_it(workdir, folder, capsys, form):
    assert main(["export", f"--workdir={workdir}", f"--format={form}"]) == 0
    path, printed = workdir / f"model.{form}", capsys.readouterr().out
    assert printed.startswith(f"{path}: compared with step 5 on 12 examples")
    assert "same predictions: 12\n" in printed
    assert "largest difference in outputs: " in printed
    tables = []
    for source in (f"--workdir={workdir}", f"--model={path}"):
        assert main(["predict", source, str(folder)]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1]
    (folder / "bad.png").write_text("no image")
    words = ["predict", f"--model={path}", str(folder), "--format=json", "--top=1"]
    assert main(words) == 1
    found = capsys.readouterr()
    assert len(json.loads(found.out)) == 3
    assert "bad.png cannot be read as an image" in found.err


def test_image_files_are_resized_as_in_training(tmp_path, capsys):
    for name, color in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(8):
            image = Image.new("RGB", (20 + number, 16), color)
            image.save(tmp_path / "data" / name / f"{number}.png")
    settings = SETTINGS | {
        "data.source": f"folder:{tmp_path / 'data'}",
        "data.image_size": (9, 7),
        "duration": "2 steps",
        "batch_size": 8,
    }
    workdir = tmp_path / "run"
    cnnjax.train(settings, workdir=workdir, progress="none")
    assert main(["export", f"--workdir={workdir}", "--format=onnx"]) == 0
    random = np.random.default_rng(0).integers(0, 256, (31, 40, 3), np.uint8)
    Image.fromarray(random).save(tmp_path / "new.png")
    capsys.readouterr()
    tables = []
    for source in (f"--workdir={workdir}", f"--model={workdir / 'model.onnx'}"):
        assert main(["predict", source, str(tmp_path / "new.png")]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1]


def test_without_proof_the_command_says_so(workdir, tmp_path, capsys):
    path = tmp_path / "a.stablehlo"
    words = ["export", f"--workdir={workdir}", "--format=stablehlo", "--no-verify"]
    assert main([*words, f"--output={path}"]) == 0
    found = capsys.readouterr()
    assert found.out == f"{path}: unchecked\n"
    assert "its outputs were not compared" in found.err


REFUSED = {
    "format": (["export", "--format=tflite"], "unknown format 'tflite'"),
    "step": (["export", "--format=onnx", "--step=first"], "--step is 'first'"),
    "folder": (
        ["export", "--format=onnx", "--output=/nowhere/a.onnx"],
        "its folder does not exist",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_arguments_are_refused(workdir, capsys, case):
    words, message = REFUSED[case]
    assert main([*words, f"--workdir={workdir}"]) == 2
    assert message in capsys.readouterr().err


def test_predict_refuses_a_step_of_a_file(tmp_path, capsys):
    words = ["predict", f"--model={tmp_path / 'a.onnx'}", "--step=last", "x.png"]
    assert main(words) == 2
    assert "--step selects a checkpoint of --workdir" in capsys.readouterr().err
