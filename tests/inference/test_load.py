"""Loading a trained model: what is needed, and what is refused."""

import json
import shutil

import numpy as np
import pytest

import cnnjax
from cnnjax import layers as nn
from cnnjax.data import RawDataset, make_dataset
from cnnjax.errors import ConfigError
from tests.support.inference.runs import NAMES, SETTINGS, make_split, train_small


@pytest.fixture
def copy(run, tmp_path):
    """A copy of the run that a test may damage."""
    return shutil.copytree(run.workdir, tmp_path / "copy")


def test_logits_are_those_of_the_network_on_normalized_images(run):
    trained, images = cnnjax.load(run.workdir), make_split(seed=1).images
    train = run.trained.description
    x = (images - np.float32(train.mean)) / np.float32(train.std)
    expected = trained.model.apply(trained.variables, x, train=False)
    np.testing.assert_allclose(trained.logits(images), expected, rtol=1e-5, atol=1e-5)
    # Mean and deviation are those of the 63 training images, per channel.
    assert np.shape(train.mean) == (3,)


def test_a_model_and_a_checkpoint_suffice(run, copy):
    for path in copy.iterdir():
        if path.name not in ("model.json", "checkpoints"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    images = make_split(seed=1).images
    found = cnnjax.load(copy).logits(images)
    np.testing.assert_array_equal(found, run.trained.logits(images))


def test_a_checkpoint_may_be_named(run):
    step = run.trained.step
    found = cnnjax.load(run.workdir / "checkpoints" / str(step))
    assert (found.step, cnnjax.load(run.workdir, step="last").step) == (step, step)


def test_the_file_holds_the_best_score_and_the_names(run):
    content = json.loads((run.workdir / "model.json").read_text())
    validation = run.history["validation"]
    best = int(np.argmin(validation["loss"]))
    assert content["best"]["step"] == validation["step"][best]
    assert content["best"]["loss"] == validation["loss"][best]
    assert content["class_names"] == [*NAMES]
    assert content["image_shape"] == [9, 7, 3]
    assert content["model"] if "model" in content else content["name"] == "simple_cnn"


@pytest.mark.slow
def test_the_averaged_weights_are_used(tmp_path):
    settings = SETTINGS | {"average_decay": 0.9}
    raw = RawDataset(make_split())
    data = make_dataset(raw, validation_fraction=0.1, test_fraction=0.2, seed=0)
    run = cnnjax.train(settings, data=data, workdir=tmp_path / "a", progress="none")
    found = run.evaluate(data)  # its test split
    np.testing.assert_allclose(found.loss, run.test.loss, rtol=1e-5)
    plain = cnnjax.train(SETTINGS, data=data, workdir=tmp_path / "b", progress="none")
    assert abs(plain.evaluate(data).loss - found.loss) > 1e-3


class Net(nn.Module):
    """A network that no name describes."""

    num_classes: int = 3

    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(self.num_classes)(nn.relu(nn.Conv(4, (3, 3))(x)).mean((1, 2)))


@pytest.mark.slow
def test_a_module_is_given_again(tmp_path):
    settings = SETTINGS | {"model": {}}
    data = tuple(make_split())
    run = cnnjax.train(
        settings, data=data, model=Net(), workdir=tmp_path / "a", progress="none"
    )
    with pytest.raises(ConfigError, match="pass the same module"):
        cnnjax.load(run.workdir)
    found = cnnjax.load(run.workdir, model=Net())
    images = data[0][:5]
    np.testing.assert_array_equal(found.logits(images), run.trained.logits(images))
    assert run.evaluate(data).accuracy > 0.3


CHANGES = {
    "another network": ({"options": {"widths": [9], "dense": [16]}}, "has shape"),
    "another name": ({"name": "simple_cmm"}, "did you mean 'simple_cnn'"),
    "another option": ({"options": {"width": 3}}, "unknown option"),
    "no size": ({"image_shape": [9, 0, 3]}, "its image_shape is"),
    "a huge number": ({"num_classes": 10**30}, "its num_classes is"),
    "too few names": ({"class_names": ["cat"]}, "expected 3, one for each class"),
    "a name twice": ({"class_names": ["a", "a", "b"]}, "that no other class has"),
    "an infinite mean": ({"mean": [1, 2, "x"]}, "its mean is"),
    "a deviation of 0": ({"std": [1, 0, 1]}, "its std is"),
    "a newer format": (
        {"format_version": 9, "cnnjax_version": "3.1.0"},
        "cnnjax 3.1.0 wrote it",
    ),
    "no format": ({"format_version": "x"}, "format_version is 'x'"),
    "another precision": ({"precision": "int8"}, "its precision is"),
    "no list of metrics": ({"metrics": "auc"}, "its metrics is 'auc'"),
    "a metric that is no name": ({"metrics": [3]}, r"its metrics is \[3\]"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_changed_file_is_refused(copy, case):
    changes, message = CHANGES[case]
    path = copy / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ConfigError, match=message):
        cnnjax.load(copy)


@pytest.mark.parametrize("text", ["", "[]", "{}", "{" * 200, "\xff", "nan"])
def test_a_damaged_file_is_refused(copy, text):
    (copy / "model.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"model\.json is damaged"):
        cnnjax.load(copy)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no trained model in"):
        cnnjax.load(tmp_path)


def test_a_step_that_was_not_saved_is_refused(run):
    with pytest.raises(ConfigError, match=r"step 7 .* is missing"):
        cnnjax.load(run.workdir, step=7)


def test_a_run_of_an_older_version_gets_the_file_when_it_is_resumed(run, copy):
    (copy / "model.json").unlink()
    train_small(copy)
    content = (run.workdir / "model.json").read_text()
    assert (copy / "model.json").read_text() == content
