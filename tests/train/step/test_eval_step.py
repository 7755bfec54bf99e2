"""Evaluation with variants of each image: each example once, on its mean logits."""

import jax
import numpy as np
import optax
import pytest

from cnnjax.data import Split, normalize
from cnnjax.data.augmentation import make_variants
from cnnjax.models import make_model
from cnnjax.train.machine.devices import make_devices
from cnnjax.train.run.evaluation import evaluate
from cnnjax.train.step.eval_step import EvalStep
from cnnjax.train.step.loss import make_loss
from tests.train.step.test_step import NORMALIZATION, Stock, make, make_batch


def variants_of(image):
    """An image moved and mirrored by hand, with weights."""
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), "reflect")
    shifted = [(image, 1 / 2), (padded[4:, 4:], 1 / 4), (padded[:-4, :-4], 1 / 4)]
    both = [(x[:, ::-1] if turns else x, w / 2) for x, w in shifted for turns in (0, 1)]
    assert sum(weight for _, weight in both) == 1
    return both


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 7, 50])
def test_the_mean_of_the_variants_counts_once_for_each_example(batch_size):
    _, state = make(optax.sgd(0.1))
    images, labels, _ = make_batch(23, seed=1)
    logits = np.zeros((23, 4))
    for row, image in zip(logits, images, strict=True):
        for variant, weight in variants_of(image):
            x = normalize(variant[None], NORMALIZATION)
            found = Stock().apply({"params": state.params}, x, train=False)
            row += weight * np.asarray(found)[0]
    model = make_model("simple_cnn", num_classes=4, widths=(3,), dense=(5,))
    step = EvalStep(
        model,
        make_loss("softmax"),
        NORMALIZATION,
        keeps_outputs=True,
        variants=make_variants(("flip", "shift(2)")),
    )
    split = Split(images, labels)
    found = evaluate(jax.jit(step), state, split, batch_size, make_devices())
    np.testing.assert_allclose(found.outputs.logits, logits, rtol=1e-4, atol=1e-5)
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    loss = -np.log(shares[np.arange(23), labels]).mean()
    assert found.score.examples == 23
    assert found.score.loss == pytest.approx(loss, rel=1e-5)
    assert found.score.accuracy == (logits.argmax(-1) == labels).mean()
