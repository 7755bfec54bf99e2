"""Scores on other data: classes by name, and what does not fit."""

import json
import shutil

import numpy as np
import pytest

import cnnjax
from cnnjax.data import RawDataset, Split
from cnnjax.errors import ConfigError, DataError
from tests.support.inference.runs import NAMES, SETTINGS, make_split


def test_the_test_split_scores_as_in_the_run(run):
    split = cnnjax.data.make_dataset(
        RawDataset(make_split(), class_names=NAMES),
        validation_fraction=0.1,
        test_fraction=0.2,
        seed=0,
    ).test
    found = cnnjax.evaluate(run.workdir, split)
    assert found.examples == run.test.examples
    assert found.accuracy == run.test.accuracy
    np.testing.assert_allclose(found.loss, run.test.loss, rtol=1e-5)


@pytest.mark.slow
def test_classes_are_matched_by_name(run):
    images, labels = make_split(seed=5)
    expected = cnnjax.evaluate(run.workdir, (images, labels))
    turned = RawDataset(Split(images, 2 - labels), class_names=NAMES[::-1])
    assert cnnjax.evaluate(run.workdir, turned) == expected
    owls = labels == 2
    some = RawDataset(Split(images[owls], labels[owls] - 2), class_names=["owl"])
    assert cnnjax.evaluate(run.workdir, some).accuracy > 0.9


def test_the_test_split_is_the_default_and_else_everything(run):
    train, test = make_split(60), make_split(30, seed=1)
    raw = RawDataset(train, test=test)
    assert run.evaluate(raw).examples == 30
    assert cnnjax.evaluate(run.workdir, raw, split="train").examples == 60
    both = RawDataset(train, validation=test)
    assert run.evaluate(both).examples == 90


def test_a_source_is_read(run, tmp_path):
    images, labels = make_split(40, seed=6)
    names = np.array(NAMES)
    path = tmp_path / "new.npz"
    np.savez(path, images=images, labels=labels, class_names=names)
    found = cnnjax.evaluate(run.workdir, f"npz:{path}")
    assert found == run.evaluate((images, labels))


REFUSED = {
    "another shape": ((np.zeros((3, 9, 9, 3)), [0, 1, 2]), r"have shape \(9, 9, 3\)"),
    "another class": ((make_split(3).images, [0, 1, 3]), "expected a class number"),
    "other names": (
        RawDataset(make_split(3), class_names=["cat", "dog", "cow"]),
        r"does not have \(cow\): the data has cat, dog, cow, the model has"
        " cat, dog, owl",
    ),
    "no data": (3, "data is 3, expected a source"),
    "no such kind": ("npy:x", "there is no data source 'npy'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_data_that_does_not_fit_is_refused(run, case):
    data, message = REFUSED[case]
    with pytest.raises((DataError, ConfigError), match=message):
        cnnjax.evaluate(run.workdir, data)


def test_a_split_that_is_missing_is_refused(run):
    with pytest.raises(ConfigError, match="the data has only train"):
        cnnjax.evaluate(run.workdir, make_split(), split="test")
    with pytest.raises(ConfigError, match="split is 'dev', expected one of train"):
        cnnjax.evaluate(run.workdir, make_split(), split="dev")


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_the_metrics_are_those_of_the_run(tmp_path, loss):
    names = ("top2", "log_loss", "auc", "average_precision", "calibration_error")
    settings = SETTINGS | {"metrics": names, "loss.name": loss, "duration": "5 steps"}
    train, test = make_split(60), make_split(30, seed=1)
    raw = RawDataset(train, test=test)
    run = cnnjax.train(settings, data=raw, workdir=tmp_path / "a", progress="none")
    found = run.evaluate(raw)
    assert [*found.metrics] == [*names]
    for name, value in run.test.metrics.items():
        np.testing.assert_allclose(found.metrics[name], value, rtol=1e-5)


def write_metrics(run, folder, metrics):
    """A copy of the run, whose model has other metrics; None for an older file."""
    path = shutil.copytree(run.workdir, folder) / "model.json"
    content = json.loads(path.read_text()) | {"metrics": metrics}
    if metrics is None:
        del content["metrics"]
    path.write_text(json.dumps(content))
    return folder


def test_a_file_of_an_older_version_has_no_metrics(run, tmp_path):
    older = write_metrics(run, tmp_path / "older", None)
    assert cnnjax.evaluate(older, make_split()) == run.evaluate(make_split())


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("top4", "expected at most 'top3'"),
        ("acu", "did you mean 'auc'"),
        ("os:getcwd", r"there is no .*imports\.json"),
    ],
)
def test_a_metric_that_cannot_be_computed_is_refused(run, tmp_path, metric, message):
    spoiled = write_metrics(run, tmp_path / "spoiled", [metric])
    with pytest.raises(ConfigError, match=message):
        cnnjax.evaluate(spoiled, make_split())
