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
