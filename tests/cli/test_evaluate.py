"""``cnnjax evaluate``: its report, its file of predictions, and the run's metrics."""

import contextlib
import csv
import io
import json
import os
import pty
import sys

import numpy as np
import pytest
from pyarrow import parquet
from sklearn import metrics as sk

import cnnjax
from cnnjax.cli import main
from tests.support.inference.runs import NAMES, SETTINGS, make_split

OWN = """
import jax.numpy as jnp
def margin(logits, labels):
    top = jnp.sort(logits)
    return top[:, -1] - top[:, -2]
"""
METRICS = ("top2", "auc", "my_margin:margin", "macro_f1")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on an archive with class names, and with metrics."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "my_margin.py").write_text(OWN)
    images, labels = make_split()
    # Noise makes some answers wrong.
    noise = np.random.default_rng(7).integers(-60, 60, (len(images), 1, 1, 1))
    images = np.clip(images.astype(int) + noise, 0, 255).astype(np.uint8)
    names = np.array(NAMES)
    np.savez(folder / "set.npz", images=images, labels=labels, class_names=names)
    before = os.getcwd()
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        settings = {**SETTINGS, "metrics": METRICS, "monitor": "auc"}
        run = cnnjax.train(
            settings,
            data=f"npz:{folder / 'set.npz'}",
            workdir=folder / "run",
            progress="none",
        )
        yield run
    finally:
        sys.path.remove(str(folder))
        os.chdir(before)


@pytest.fixture
def evaluate(run, capsys):
    """What the command prints."""

    def evaluate(*words):
        status = main(["evaluate", f"--workdir={run.workdir}", *map(str, words)])
        out, err = capsys.readouterr()
        assert (status, err) == (0, "")
        return out

    return evaluate


def data(run):
    return f"--data=npz:{run.workdir.parent / 'set.npz'}"


def sources(run):
    """Words with and without other data."""
    return ((), (data(run),))


@pytest.mark.slow
def test_other_data_are_scored_with_the_metrics_of_the_run(run, evaluate):
    found = json.loads(evaluate(data(run)))
    names = ["loss", "accuracy", "top2", "auc", "margin", "macro_f1", "examples"]
    assert [*found] == ["data", "split", "step", *names]
    test = json.loads(evaluate())
    whole = cnnjax.evaluate(run.workdir)
    for name, value in run.test.metrics.items():
        assert test[name] == whole.metrics[name] == value
    source = data(run).partition("=")[2]
    assert cnnjax.evaluate(run.workdir, source).metrics["margin"] == found["margin"]
    assert run.evaluate(source).metrics["auc"] == found["auc"]


def test_the_model_of_a_run_scores_its_test_split_as_the_run_does(run):
    raw = cnnjax.data.sources.load_raw(data(run).partition("=")[2])
    split = cnnjax.data.make_dataset(
        raw, validation_fraction=0.1, test_fraction=0.2, seed=0
    ).test
    found = run.evaluate(split)
    for name, value in run.test.metrics.items():
        assert found.metrics[name] == pytest.approx(value, rel=1e-5)


def rows_of(path):
    if path.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(path.read_text())))
    return parquet.read_table(path).to_pylist()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_predictions_are_written_for_each_example(run, evaluate, tmp_path, suffix):
    for number, words in enumerate(sources(run)):
        path = tmp_path / f"{number}{suffix}"
        score = json.loads(evaluate(*words, f"--predictions={path}"))
        rows = rows_of(path)
        assert [int(row["index"]) for row in rows] == [*range(score["examples"])]
        assert [*rows[0]] == ["index", "label", "prediction", "probability", "loss"] + [
            f"probability_{name}" for name in NAMES
        ]
        labels, guesses = ([row[key] for row in rows] for key in [*rows[0]][1:3])
        assert {*labels} == {*NAMES}
        assert sk.accuracy_score(labels, guesses) == score["accuracy"]
        losses = [float(row["loss"]) for row in rows]
        assert np.mean(losses) == pytest.approx(score["loss"], rel=1e-5)
        shares = [[float(row[f"probability_{name}"]) for name in NAMES] for row in rows]
        np.testing.assert_allclose(np.sum(shares, -1), 1)
        assert guesses == [NAMES[i] for i in np.argmax(shares, -1)]
        assert [float(row["probability"]) for row in rows] == [*np.max(shares, -1)]
        auc = sk.roc_auc_score(labels, shares, multi_class="ovr")
        assert score["auc"] == pytest.approx(auc)
        truth = [NAMES.index(label) for label in labels]
        own = -np.log(np.array(shares)[np.arange(len(truth)), truth])
        np.testing.assert_allclose(losses, own, rtol=1e-4, atol=1e-6)


def test_the_report_has_all_scores(run, evaluate, tmp_path):
    for words in sources(run):
        path = tmp_path / "all.csv"
        score = json.loads(evaluate(*words, f"--predictions={path}"))
        lines = [line.split() for line in evaluate(*words, "--report").splitlines()]
        labels, guesses = (
            [row[key] for row in rows_of(path)] for key in ("label", "prediction")
        )
        for name in ("accuracy", "loss", "top2", "auc", "margin", "macro_f1"):
            assert [name, f"{score[name]:.4f}"] in lines
        expected = sk.precision_recall_fscore_support(labels, guesses, labels=NAMES)
        for name, *values, support in zip(NAMES, *expected, strict=True):
            assert [name, *(f"{x:.4f}" for x in values), str(support)] in lines
        matrix = sk.confusion_matrix(labels, guesses, labels=NAMES)
        for name, row in zip(NAMES, matrix, strict=True):
            assert [name, *map(str, row)] in lines


def by_hand(model, images):
    """The mean of the logits of each image and its variants, one by one."""
    found = []
    for image in images:
        padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), "reflect")
        seen = [image, image, padded[:-2, :-2], padded[2:, 2:]]
        seen += [one[:, ::-1] for one in seen]
        found.append(sum(model.logits(one) for one in seen) / 8)
    return np.array(found)


def test_augmentation_of_the_test_gives_a_second_score(run, evaluate):
    model = cnnjax.load(run.workdir)
    for words in sources(run):
        plain = json.loads(evaluate(*words))
        first, second = map(
            json.loads, evaluate(*words, "--augment=flip, shift(1)").splitlines()
        )
        assert first == plain
        assert second["augment"] == ["flip", "shift(1)"]
        raw = cnnjax.data.sources.load_raw(data(run).partition("=")[2])
        examples = raw.train
        if not words:
            parts = {"validation_fraction": 0.1, "test_fraction": 0.2, "seed": 0}
            examples = cnnjax.data.make_dataset(raw, **parts).test
        logits = by_hand(model, examples.images)
        shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        own = shares[np.arange(len(shares)), examples.labels]
        assert second["loss"] == pytest.approx(-np.log(own).mean(), rel=1e-4)
        right = logits.argmax(-1) == examples.labels
        assert second["accuracy"] == pytest.approx(right.mean())
        assert second["examples"] == len(examples.labels) == plain["examples"]
        auc = sk.roc_auc_score(examples.labels, shares, multi_class="ovr")
        assert second["auc"] == pytest.approx(auc)
        assert second["loss"] != first["loss"]


def test_the_report_shows_both_scores(run, evaluate):
    for words in sources(run):
        plain = evaluate(*words, "--report").splitlines()
        both = evaluate(*words, "--report", "--augment=shift(2)").splitlines()
        place = plain.index("")
        assert both[:place] == plain[:place]
        assert both[place + 1].endswith(", augmented: shift(2)")
        assert both[2 * place + 1 :] == plain[place:]


@pytest.mark.slow
def test_a_setting_asks_for_the_second_score(tmp_path, capsys):
    settings = SETTINGS | {"duration": "2 steps", "eval_augment": ("flip",)}
    path = tmp_path / "set.npz"
    images, labels = make_split()
    np.savez(path, images=images, labels=labels)
    run = cnnjax.train(
        settings, data=f"npz:{path}", workdir=tmp_path / "run", progress="none"
    )
    for words in ([], [f"--data=npz:{path}"]):
        for more, lines in (([], 2), (["--augment="], 1), (["--augment=flip"], 2)):
            command = ["evaluate", f"--workdir={run.workdir}", *words, *more]
            assert main(command) == 0
            assert len(capsys.readouterr().out.splitlines()) == lines


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("flap", "augment: unknown augmentation 'flap'; did you mean 'flip'?"),
        ("shift", "'shift' has the wrong arguments (missing a required"),
        ("shift(0)", "in 'shift(0)', pixels is 0, expected a whole number"),
        ("shift(7)", "shift is 7, expected less than the images' size (9, 7)"),
        ("flip,flip", "augment is ('flip', 'flip'), expected each name at most once"),
        ("a b", "'a b' cannot be read, expected 'flip' or 'shift(PIXELS)'"),
    ],
)
def test_names_that_augment_no_test_are_refused(run, capsys, names, message):
    for words in sources(run):
        command = ["evaluate", f"--workdir={run.workdir}", f"--augment={names}"]
        assert main([*command, *words]) == 2
        out, err = capsys.readouterr()
        assert message in err and err.count("\n") == 1 and out == ""


def test_a_class_without_an_example_has_no_scores(run, evaluate, tmp_path):
    images, labels = make_split(30, seed=2)
    some = labels != 1
    path = tmp_path / "some.npz"
    names = np.array(NAMES)
    np.savez(path, images=images[some], labels=labels[some], class_names=names)
    lines = [s.split() for s in evaluate(f"--data=npz:{path}", "--report").splitlines()]
    assert ["dog", "-", "-", "-", "0"] in lines


def test_a_metric_that_is_undefined_is_no_number_in_json(run, evaluate, tmp_path):
    images, labels = make_split(30, seed=2)
    path = tmp_path / "one.npz"
    np.savez(path, images=images[labels == 0], labels=labels[labels == 0])
    assert json.loads(evaluate(f"--data=npz:{path}"))["auc"] == "NaN"


def test_on_a_terminal_the_report_is_a_table(run, evaluate, monkeypatch):
    reader, writer = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert main(["evaluate", f"--workdir={run.workdir}", "--report"]) == 0
    shown = ""
    with contextlib.suppress(OSError):  # at the end
        while True:
            shown += os.read(reader, 10_000).decode(errors="replace")
    os.close(reader)
    assert "────" in shown
    assert "confusion matrix" in shown
    assert "macro_f1" in shown


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a.txt", "expected a name that ends with .csv or .parquet"),
        ("no/such/folder/a.csv", "its folder does not exist"),
        ("", "--predictions is empty"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_at_once(
    tmp_path, capsys, path, message
):
    words = ["evaluate", f"--workdir={tmp_path / 'none'}", f"--predictions={path}"]
    assert main(words) == 2
    assert message in capsys.readouterr().err
