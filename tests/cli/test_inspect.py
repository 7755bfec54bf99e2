"""``cnnjax inspect``, called as ``main``."""

import csv

import numpy as np
import pytest
from PIL import Image

import cnnjax
from cnnjax.cli import main
from cnnjax.report.maps_sheet import FeatureMaps, draw_features
from tests.support.inference.runs import NAMES, SETTINGS, make_split

MISLABELED = 8


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on an archive of images, one of them with a wrong label."""
    folder = tmp_path_factory.mktemp("inspected")
    arrays = {}
    for part, seed in (("train", 0), ("val", 1), ("test", 2)):
        split = make_split(60, seed)
        arrays |= {f"x_{part}": split.images, f"y_{part}": split.labels}
    arrays["y_train"][MISLABELED] = 0  # an owl before
    np.savez(folder / "a.npz", **arrays, class_names=np.array(NAMES))
    cnnjax.train(
        SETTINGS, data=f"npz:{folder / 'a.npz'}", workdir=folder / "a", progress="none"
    )
    Image.fromarray(arrays["x_test"][0]).save(folder / "new.png")
    return folder / "a"


@pytest.fixture
def inspect(run, tmp_path, capsys):
    """The exit status of the command, and what it wrote to its two streams."""

    def inspect(*words):
        words = [f"--workdir={run}", f"--out={tmp_path / 'out'}", *words]
        status = main(["inspect", *words])
        return status, *capsys.readouterr()

    return inspect


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_it_writes_tables_and_sheets(inspect, run, tmp_path):
    status, stdout, stderr = inspect("--examples=3", "--integration-steps=999")
    assert (status, stderr) == (0, "")
    head, *layers, sums, written = stdout.splitlines()
    assert head.split()[:3] == ["layer", "output", "mean"]
    assert [line.split()[0] for line in layers] == ["Conv_0", "Dense_0", "Dense_1"]
    assert sums.startswith("integrated gradients in 999 steps from black: the sum ")
    assert "within 5% for 3 of 3 images; median error" in sums
    assert written.endswith("layers.csv, examples.csv, maps.png, features.png")
    out = tmp_path / "out"
    table = rows_of(out / "layers.csv")
    assert [row["shape"] for row in table] == ["9x7x8", "16", "3"]
    examples = rows_of(out / "examples.csv")
    assert [row["label"] for row in examples] == list(NAMES)
    for row in examples:
        assert row["predicted"].startswith(row["explained"])
        difference, found = float(row["logit_difference"]), float(row["integrated_sum"])
        assert abs(found - difference) == pytest.approx(
            float(row["relative_error"]) * abs(difference), rel=1e-3, abs=1e-5
        )
    for name in ("maps.png", "features.png"):
        with Image.open(out / name) as sheet:
            assert sheet.size[0] == 1140
            assert len(sheet.convert("RGB").getcolors(2**24)) > 100


def test_an_image_file_and_another_class_are_explained(inspect, run, tmp_path):
    image = str(run.parent / "new.png")
    words = [image, "--class=owl", "--layer=Conv_0"]
    assert inspect(*words)[0] == 0
    (row,) = rows_of(tmp_path / "out" / "examples.csv")
    assert (row["example"], row["label"], row["explained"]) == (image, "", "owl")


@pytest.mark.parametrize("by", ["loss", "gradient"])
def test_labels_rank_the_training_split(inspect, tmp_path, by):
    status, stdout, stderr = inspect("--labels", f"--rank-by={by}")
    assert (status, stderr) == (0, "")
    lines = stdout.splitlines()
    assert lines[0].startswith("of 60 training examples, the network predicts another")
    assert f"example {MISLABELED}: label cat, predicted owl" in lines[1]
    assert lines[-2].startswith("gradient noise scale")
    rows = rows_of(tmp_path / "out" / "labels.csv")
    assert len(rows) == 60
    assert (rows[0]["example"], rows[0]["rank"]) == (str(MISLABELED), "1")
    assert (rows[0]["label"], rows[0]["predicted"]) == ("cat", "owl")
    assert 1 / 3 < float(rows[0]["probability"]) <= 1
    values = [float(row["loss" if by == "loss" else "gradient_norm"]) for row in rows]
    assert values == sorted(values, reverse=True)
    assert (tmp_path / "out" / "labels.png").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--examples=0"], "--examples is 0, expected 1 or more"),
        (["--integration-steps=0"], "--integration-steps is 0, expected 1 or more"),
        (["--examples=2", "a.png"], "--examples is 2, which counts test examples, but"),
        (["--labels", "--layer=Conv_0"], "but --layer is given, too"),
        (["--rank-by=loss"], "nothing is ranked without --labels"),
        (["--layer=Conv_1"], "unknown layer 'Conv_1'; did you mean 'Conv_0'?"),
        (["--layer=Dense_0"], "layer 'Dense_0' gives an output of shape (16,), which"),
        (["--class=cow"], "unknown class 'cow'; did you mean 'owl'?"),
        (["none.png"], "none.png"),
        (["--out=/none/out"], "/none/out cannot be written: its folder does not exist"),
    ],
)
def test_what_cannot_be_inspected_is_refused_in_one_line(
    inspect, tmp_path, words, message
):
    status, stdout, stderr = inspect(*words)
    assert (status, stdout) == (2, "")
    assert message in stderr and stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("shape", [(5, 70), (4, 5, 70), (3, 4, 5, 6), (900, 700, 2)])
def test_feature_maps_of_every_shape_fit_on_the_sheet(shape):
    values = np.random.default_rng(0).standard_normal(shape)
    sheet = draw_features("maps", [FeatureMaps("one", values)])
    assert sheet.size[0] == 1140
    assert (np.asarray(sheet)[:, -8:] == 255).all()  # nothing in the right margin
