"""Runs on label maps: trained, cut, resumed, scored, drawn, predicted, refused."""

import json

import numpy as np
import pytest
from PIL import Image

import cnnjax
from cnnjax.cli import main
from cnnjax.compare.model import compare_problem, make_problem
from cnnjax.errors import ConfigError, Interrupted
from cnnjax.train.run.evaluate_run import evaluate_run, evaluate_step
from cnnjax.train.run.experiment import make_experiment
from cnnjax.train.run.loop import train
from tests.support.train.faults import StopAt, assert_same

SETTINGS = {
    "model__name": "unet",
    "model__widths": "(4, 6)",
    "model__dense": "None",
    "loss__class_weights": "(1, 4, 2)",
    "loss__label_smoothing": "0.05",
    "metrics": "('mean_iou', 'macro_f1', 'log_loss')",
    "monitor": "mean_iou",
    "data__augment": "('alternating_flip', 'rotate(20)', 'invert')",
    "data__crop_padding": "1",
    "batch_size": "8",
}
NAMES = ["nothing", "bar", "post"]


def make_arrays():
    """Noise with a bright bar and a dark post; a tenth of the pixels is unknown."""
    draw = np.random.default_rng(0)
    images = draw.integers(90, 160, (40, 9, 11, 1), np.uint8)
    labels = np.zeros((40, 9, 11), int)
    for image, mask, row, column in zip(
        images, labels, draw.integers(0, 8, 40), draw.integers(0, 10, 40), strict=True
    ):
        image[row : row + 2], mask[row : row + 2] = 230, 1
        image[:, column : column + 2], mask[:, column : column + 2] = 20, 2
    labels[draw.random(labels.shape) < 0.1] = -1
    return images, labels


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("maps") / "set.npz"
    images, labels = make_arrays()
    np.savez(path, images=images, labels=labels, class_names=np.array(NAMES))
    return f"npz:{path}"


@pytest.fixture
def config(source, small_config):
    return small_config(data__source=source, **SETTINGS)


def refuse(capfd, *words):
    """What a refused command says, in one paragraph."""
    assert main([*words]) != 0
    err = capfd.readouterr().err
    assert "cnnjax: error: " in err and "Traceback" not in err, err
    return err


@pytest.mark.slow
def test_a_run_on_label_maps(tmp_path, config, source, recorder, capfd):
    whole = train(config, tmp_path / "whole", recorder)
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        train(config, run, StopAt(recorder, 8))
    cut = train(config, run, recorder)
    assert_same(cut.state, whole.state)
    assert cut.test == whole.test == evaluate_run(run, "test")

    # The score is that of the predictions, as independent code counts them.
    dataset = make_experiment(config).dataset
    images, labels = dataset.test
    known = labels >= 0
    trained = cnnjax.load(run)
    guesses = trained.logits(images).argmax(-1)
    assert whole.test.examples == known.sum()
    accuracy = (guesses == labels)[known].mean()
    assert whole.test.accuracy == pytest.approx(accuracy, abs=0.005)  # of ties
    ious = []
    for number in range(3):
        right, found = labels[known] == number, guesses[known] == number
        ious.append((right & found).sum() / (right | found).sum())
    assert whole.test.metrics["mean_iou"] == pytest.approx(np.mean(ious), abs=0.005)
    confusion = evaluate_step(run, "test", keep_outputs=True).confusion
    assert confusion is not None and confusion.sum() == known.sum()
    other = cnnjax.evaluate(run, (images, labels))
    assert other.examples == known.sum()
    assert other.loss == pytest.approx(whole.test.loss, rel=1e-4)
    assert whole.test.unit == other.unit == "pixels"
    assert other.metrics["mean_iou"] == pytest.approx(np.mean(ious))

    # Predictions, in Python and in files.
    one = trained.predict(images[0])
    np.testing.assert_array_equal(one.labels, guesses[0])
    assert sum(one.shares.values()) == pytest.approx(1)
    assert len(trained.predict(images[:3])) == 3
    assert trained.predict_proba(images[:2]).shape == (2, 9, 11, 3)
    pictures = tmp_path / "new"
    pictures.mkdir()
    for number in range(2):
        Image.fromarray(images[number, ..., 0]).save(pictures / f"{number}.png")
    masks = tmp_path / "masks"
    words = ("predict", f"--workdir={run}", str(pictures), "--format=json")
    capfd.readouterr()
    assert main([*words, f"--masks={masks}"]) == 0
    rows = json.loads(capfd.readouterr().out)
    assert {pair["class"] for row in rows for pair in row["shares"]} <= {*NAMES}
    for number in range(2):
        with Image.open(masks / f"{number}.png") as image:
            np.testing.assert_array_equal(np.asarray(image), guesses[number])
    for form in ("table", "csv", "jsonl"):
        assert main([*words, f"--format={form}"]) == 0
        assert "nothing" in capfd.readouterr().out

    # Commands that look at the run.
    assert main(["evaluate", f"--workdir={run}", "--report"]) == 0
    out = capfd.readouterr().out
    assert "IoU" in out and "post" in out and f"{known.sum():,} pixels" in out
    err = refuse(capfd, "evaluate", f"--workdir={run}", "--predictions=p.csv")
    assert "cnnjax predict --masks=DIR" in err
    err = refuse(capfd, "evaluate", f"--workdir={run}", "--augment=flip")
    assert "one output per pixel" in err
    (pictures / "0.jpg").write_bytes((pictures / "0.png").read_bytes())
    err = refuse(capfd, *words, f"--masks={masks}")
    assert "would both be 0.png" in err


@pytest.mark.slow
def test_the_gradients_of_a_run_are_right(config):
    assert compare_problem(make_problem(config)).ok


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model__name": "resnet20"}, "'resnet20', which has one output per image"),
        ({"data__augment": "('mixup',)"}, "mixes the labels of two images"),
        ({"data__augment": "('randaugment',)"}, "moves only some images"),
        ({"data__augment": "('math:floor',)"}, "a function of your own does not move"),
        ({"eval_augment": "('flip',)"}, "variants are not averaged"),
        ({"metrics": "('auc',)"}, "'auc', which is for classification or multilabel"),
        ({"metrics": "('calibration_error',)"}, "is for classification, but"),
        ({"data__sampling": "balanced"}, "expected 'shuffle'"),
        ({"model__widths": "(4, 4, 4, 4, 4)"}, "expected 16 or more pixels"),
    ],
)
def test_what_does_not_fit_label_maps_is_refused(
    tmp_path, small_config, source, recorder, change, message
):
    settings = {**SETTINGS, "monitor": "loss", "metrics": "()", **change}
    if settings["model__name"] != "unet":
        settings["model__widths"] = "None"
    config = small_config(data__source=source, **settings)
    with pytest.raises(ConfigError, match=message):
        train(config, tmp_path / "run", recorder)


def test_unet_on_labels_of_images_is_refused(small_config):
    settings = {key: SETTINGS[key] for key in SETTINGS if key.startswith("model")}
    with pytest.raises(ConfigError, match="expected one label per pixel"):
        make_experiment(small_config(**settings))
