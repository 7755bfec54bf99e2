"""What a network sees is what training gave it: recorded inside a run."""

from collections.abc import Callable

import jax
import numpy as np
import pytest
from flax import linen

import cnnjax
from cnnjax.config.files import check_config
from cnnjax.data import eval_batches, load_dataset, measure, train_indices
from cnnjax.errors import ConfigError
from cnnjax.train.run.experiment import make_experiment
from cnnjax.train.run.inputs import training_inputs, validation_inputs
from tests.support.data.pictures import write_folder

ALL = ("random_crop(2)", "color_jitter(0.3)", "mixup(0.4)", "cutmix")


class Recording(linen.Module):
    """A network that keeps what it is trained on."""

    keep: Callable = print

    @linen.compact
    def __call__(self, x, train):
        if train:
            jax.debug.callback(lambda x: self.keep(np.array(x)), x)
        return linen.Dense(2)(x.mean((1, 2)))


def record(settings, workdir):
    """The inputs of each step of a run."""
    seen = []
    cnnjax.train(settings, workdir=workdir, model=Recording(seen.append))
    jax.effects_barrier()
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("streaming", [False, True])
def test_the_inputs_are_those_of_the_run(tmp_path, streaming):
    """Order, random parts, crop, flip, augmentation and mixing, step by step."""
    settings = {
        "data.source": f"folder:{write_folder(tmp_path / 'pictures')}",
        "data.image_size": (16, 12),
        "data.random_part": (0.3, 1.0) if streaming else (),
        "data.streaming": streaming,
        "data.crop_padding": 2,
        "data.flip": not streaming,
        "data.augment": ("alternating_flip", *ALL) if streaming else ALL,
        "batch_size": 6,
        "duration": "7 steps",
        "seed": 3,
    }
    seen = record(settings, tmp_path / "run")
    assert len(seen) == 7
    config = check_config(settings)
    experiment = make_experiment(config)
    for step in (1, 2, 7):
        inputs = training_inputs(config, experiment, step)
        np.testing.assert_allclose(inputs.images, seen[step - 1], atol=1e-5)
    assert np.abs(seen[0] - seen[1]).max() > 0.1


def test_labels_and_shares_are_those_of_the_mixed_images():
    """A mixed image is share * image + (1 - share) * other, with both labels."""
    settings = {"data.source": "synthetic:6x5x3,4,80", "batch_size": 8}
    plain = check_config(settings)
    mixed = check_config(settings | {"data.augment": ("mixup(0.4)",)})
    experiment = make_experiment(mixed)
    inputs = training_inputs(mixed, experiment, 2)
    images = training_inputs(plain, make_experiment(plain), 2).images
    other = np.array([1, 0, 3, 2, 5, 4, 7, 6])
    shares = inputs.shares[:, None, None, None]
    expected = shares * images + (1 - shares) * images[other]
    np.testing.assert_allclose(inputs.images, expected, atol=1e-5)
    train = experiment.dataset.train
    chosen = train_indices(len(train.labels), 8, mixed.seed, 1)
    np.testing.assert_array_equal(inputs.labels, train.labels[chosen])
    np.testing.assert_array_equal(inputs.others, train.labels[chosen][other])
    np.testing.assert_array_equal(inputs.stored, train.images[chosen])
    np.testing.assert_array_equal(inputs.numbers, chosen)
    assert [len(x) for x in inputs.first(3)] == [3] * 6


def test_validation_inputs_are_plain_and_in_order():
    experiment = make_experiment(check_config({"data.augment": ("invert",)}))
    dataset = load_dataset("digits", validation_fraction=0.1, test_fraction=0.2, seed=0)
    mean, std = measure(dataset.train.images)
    batch = next(eval_batches(dataset.validation, 5))
    inputs = validation_inputs(experiment, 5)
    expected = (batch.images.astype(np.float32) - mean) / std
    np.testing.assert_array_equal(inputs.images, expected)
    np.testing.assert_array_equal(inputs.labels, batch.labels)
    count = len(dataset.validation.labels)
    assert len(validation_inputs(experiment, 10**9).labels) == count


@pytest.mark.parametrize("step", [0, -1, 13])
def test_a_step_outside_of_the_run_is_refused(small_config, step):
    config = small_config()
    with pytest.raises(ConfigError, match=rf"step is {step}, expected a .* from 1 to"):
        training_inputs(config, make_experiment(config), step)


def test_balanced_batches_hold_all_classes_alike():
    settings = {"data.sampling": "balanced", "batch_size": 20}
    config = check_config(settings)
    inputs = training_inputs(config, make_experiment(config), 3)
    assert np.bincount(inputs.labels).tolist() == [2] * 10


def test_an_unknown_class_is_minus_one(tmp_path):
    labels = np.arange(40) % 3 - 1  # a third of the training examples is unknown
    images = np.zeros((40, 5, 4, 1), np.uint8)
    path = tmp_path / "set.npz"
    np.savez(path, images=images, labels=labels)
    config = check_config({"data.source": f"npz:{path}", "batch_size": 12})
    experiment = make_experiment(config)
    inputs = training_inputs(config, experiment, 1)
    chosen = train_indices(len(experiment.dataset.train.labels), 12, config.seed, 0)
    expected = experiment.dataset.train.labels[chosen]
    np.testing.assert_array_equal(inputs.labels, expected)
    assert -1 in expected
