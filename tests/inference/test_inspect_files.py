"""``inspect_examples`` for every kind of model and of input, without training."""

from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from cnnjax import inference
from cnnjax import layers as nn
from cnnjax.config.files import check_config
from cnnjax.data.tasks import CLASSIFICATION, MULTILABEL, REGRESSION, SEGMENTATION
from cnnjax.errors import ConfigError
from cnnjax.inference.explain import Explanations
from cnnjax.inference.inspect_files import describe_errors, inspect_examples
from cnnjax.inference.saliency import IntegratedGradients
from cnnjax.inference.wrong_labels import rank_labels
from cnnjax.models import make_model
from cnnjax.train.run.model_file import ModelFile
from tests.support.inference.runs import make_split


class Pixels(nn.Module):
    """Three logits at each pixel."""

    @nn.compact
    def __call__(self, x, train):
        return nn.Conv(3, (1, 1))(nn.relu(nn.Conv(2, (3, 3))(x)))


def make_trained(model, task, shape, loss):
    """A network with its initial weights, as if it had been trained."""
    described = ModelFile(
        name="own",
        options={},
        num_classes=3,
        class_names=("cat", "dog", "owl"),
        image_shape=shape,
        image_dtype="uint8",
        mean=(100.0,) * shape[-1],
        std=(50.0,) * shape[-1],
        precision="float32",
        backend="auto",
        loss=loss,
        label_smoothing=0.0,
        takes_best=False,
        best=None,
        task=task,
    )
    x = np.zeros((1, *shape), np.float32)
    variables = jax.jit(lambda: model.init(jax.random.key(0), x, train=False))()
    config = check_config({})
    return inference.TrainedModel(model, variables, described, 5, config, Path("run"))


@pytest.mark.parametrize(
    ("task", "loss", "shape"),
    [
        (CLASSIFICATION, "softmax", (40, 2)),
        (MULTILABEL, "sigmoid", (6, 9, 1)),
        (REGRESSION, "mse", (4, 6, 5, 1)),
    ],
)
def test_every_task_and_rank_is_drawn(tmp_path, task, loss, shape):
    model = make_model("simple_cnn", num_classes=3, widths=(4,), dense=())
    trained = make_trained(model, task, shape, loss)
    images = np.random.default_rng(0).integers(0, 255, (2, *shape), np.uint8)
    np.savez(tmp_path / "new.npz", images=images)
    lines = inspect(trained, tmp_path)
    assert [line.split()[0] for line in lines[1:3]] == ["Conv_0", "Dense_0"]
    for name in ("maps.png", "features.png"):
        with Image.open(tmp_path / "out" / name) as sheet:
            assert sheet.size[0] == 1140
    table = (tmp_path / "out" / "examples.csv").read_text().splitlines()
    assert len(table) == 3 and table[1].startswith(f"{tmp_path / 'new.npz'}[0]")
    if task == REGRESSION:
        assert "cat" in table[1] and "dog" in table[1] and "owl" in table[1]


def inspect(trained, tmp_path, class_name=None):
    return inspect_examples(
        trained,
        tmp_path / "out",
        inputs=[str(tmp_path / "new.npz")],
        count=8,
        class_name=class_name,
        layers=[],
    )


def test_sums_that_are_off_come_with_a_hint():
    none = np.zeros(3)
    sums, differences = np.array([1.04, 4.5, 0]), np.array([1.0, 5.0, 0])
    found = IntegratedGradients(none, sums, differences)
    line = describe_errors(Explanations(none, none, {}, found), 32)
    assert line == (
        "integrated gradients in 32 steps from black: the sum equals the difference of"
        " the logits within 5% for 2 of 3 images; median error 4.00%, largest 10.00%;"
        " try --integration-steps=128"
    )


def test_of_a_segmentation_only_layers_are_shown(tmp_path):
    trained = make_trained(Pixels(), SEGMENTATION, (8, 8, 1), "softmax")
    np.savez(tmp_path / "new.npz", images=np.ones((2, 8, 8, 1), np.uint8))
    lines = inspect(trained, tmp_path)
    assert lines[-2].startswith("no saliency, Grad-CAM or integrated gradients: they")
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["features.png", "layers.csv"]
    with pytest.raises(ConfigError, match="--class is 'cat', but the model predicts"):
        inspect(trained, tmp_path, "cat")
    with pytest.raises(ConfigError, match="images with many labels each are not"):
        rank_labels(trained, make_split(3))
