"""Training and evaluation steps on label maps, against NumPy and plain JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen

from cnnjax.data import Batch, Split, normalize
from cnnjax.data.augmentation import make_augmentation
from cnnjax.data.tasks import SEGMENTATION
from cnnjax.metrics import METRICS
from cnnjax.train.machine.devices import make_devices
from cnnjax.train.run.evaluation import evaluate
from cnnjax.train.step.eval_step import EvalStep
from cnnjax.train.step.loss import PLAIN, LossOptions, make_loss
from cnnjax.train.step.pixels import as_pixels
from cnnjax.train.step.state import make_state
from cnnjax.train.step.train_step import TrainStep
from tests.train.step.test_step import NORMALIZATION, SCHEDULE

CLASSES, SIZES = 3, (7, 5)


def make_batch(n=4, padding=0):
    """Random label maps, a third of whose pixels are to be ignored."""
    draw = np.random.default_rng(0)
    labels = draw.integers(-1, CLASSES, (n, *SIZES)).astype(np.int8)
    labels[1] = -1  # an image without any labeled pixel
    weights = np.array([1, 0] + [1] * (n - 2 - padding) + [0] * padding, np.float32)
    images = draw.integers(0, 256, (n, *SIZES, 2), np.uint8)
    return Batch(images, labels, weights)


class Linear(linen.Module):
    """The logits of a pixel are a linear map of its channels."""

    @linen.compact
    def __call__(self, x, train):
        return linen.Dense(CLASSES)(x)


def make_step(options=PLAIN, **settings):
    loss = make_loss("softmax", options, SEGMENTATION)
    optimizer = optax.sgd(0.1)
    step = TrainStep(
        *(Linear(), loss, NORMALIZATION, optimizer, SCHEDULE),
        task=SEGMENTATION,
        **settings,
    )
    return step, make_state(step.model, optimizer, (*SIZES, 2), seed=0)


def numpy_loss(params, batch, weights=(1, 1, 1), smoothing=0.0, gamma=0.0):
    """The weighted mean over labeled pixels, pixel by pixel in float64."""
    x = np.asarray(normalize(batch.images, NORMALIZATION), np.float64)
    dense = {k: np.asarray(v, np.float64) for k, v in params["Dense_0"].items()}
    total = count = 0.0
    for image, labels, weight in zip(x, batch.labels, batch.weights, strict=True):
        for pixel, label in zip(image.reshape(-1, 2), labels.ravel(), strict=True):
            if label < 0 or not weight:
                continue
            z = pixel @ dense["kernel"] + dense["bias"]
            p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
            targets = (1 - smoothing) * np.eye(CLASSES)[label] + smoothing / CLASSES
            loss = -(targets * (1 - p) ** gamma * np.log(p)).sum()
            total += weights[label] * loss
            count += weights[label]
    return total / count


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        (LossOptions(), None),
        (LossOptions(label_smoothing=0.2), (1.0, 3.0, 0.5)),
        (LossOptions(focal_gamma=2.0), (2.0, 1.0, 0.25)),
    ],
)
@pytest.mark.parametrize("parts", [1, 2])
def test_the_loss_is_the_mean_over_all_labeled_pixels(options, weights, parts):
    """However the batch is divided, and although its images have other numbers."""
    given = None if weights is None else np.array(weights, np.float32)
    step, state = make_step(options, class_weights=given, accumulate_steps=parts)
    batch = make_batch()
    _, metrics = jax.jit(step)(state, batch)
    smoothing, gamma, _ = options
    expected = numpy_loss(state.params, batch, weights or (1, 1, 1), smoothing, gamma)
    np.testing.assert_allclose(metrics.loss, expected, rtol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("gamma", [0.0, 1.5])
def test_the_gradient_is_that_of_jax(gamma):
    options = LossOptions(label_smoothing=0.1, focal_gamma=gamma)
    step, state = make_step(options)
    batch = as_pixels(make_batch())
    x = normalize(batch.images, NORMALIZATION)

    def stock(params):
        logits = step.model.apply({"params": params}, x, train=True)
        logs = jax.nn.log_softmax(logits)
        targets = 0.9 * jax.nn.one_hot(batch.labels, CLASSES) + 0.1 / CLASSES
        losses = -(targets * (1 - jnp.exp(logs)) ** gamma * logs).sum(-1)
        return (losses * batch.weights).sum()

    def own(params):
        return step.loss(params, x, {}, batch, jax.random.key(0))[0]

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        jax.grad(own)(state.params),
        jax.grad(stock)(state.params),
    )


@pytest.mark.parametrize("batch_size", [3, 4, 16])
def test_evaluation_counts_each_labeled_pixel_once(batch_size):
    step, state = make_step()
    batch = make_batch(6)
    eval_step = EvalStep(
        step.model, step.loss_function, NORMALIZATION, task=SEGMENTATION
    )
    split = Split(batch.images, batch.labels)
    score, outputs, confusion = evaluate(
        *(jax.jit(eval_step), state, split, batch_size, make_devices()),
        {"mean_iou": METRICS["mean_iou"]},
        task=SEGMENTATION,
    )
    x = normalize(batch.images, NORMALIZATION)
    logits = step.model.apply({"params": state.params}, x, train=False)
    guesses, known = np.asarray(logits).argmax(-1), batch.labels >= 0
    expected = np.zeros((CLASSES, CLASSES), int)
    np.add.at(expected, (batch.labels[known], guesses[known]), 1)
    np.testing.assert_array_equal(confusion, expected)
    assert outputs is None
    assert score.examples == known.sum()
    assert score.accuracy == (guesses == batch.labels)[known].mean()
    assert score.loss == pytest.approx(numpy_loss(state.params, batch), rel=1e-6)
    assert score.metrics["mean_iou"] == METRICS["mean_iou"].pixels(expected)


MOVES = [
    {"flip": True},
    {"crop_padding": 2},
    {"augment": "random_crop(2, reflect)"},
    {"augment": "vertical_flip"},
    {"augment": "rotate(180)"},
    {"augment": "affine(30, 0.2, (0.8, 1.2), 10)"},
    {"augment": "resized_crop((0.3, 0.9))"},
    {"augment": "translate(2)"},
]


@pytest.mark.parametrize("move", MOVES, ids=lambda move: next(iter(move.values())))
def test_label_maps_move_with_their_images(move):
    """Maps of large areas: away from their edges, image and map still agree."""
    settings = {key: value for key, value in move.items() if key != "augment"}
    if "augment" in move:
        function = make_augmentation(move["augment"], NORMALIZATION)
        # A change of colors between moves leaves the labels where they are.
        functions = (lambda key, image: image * 1.0, function)
        settings |= {"augmentations": functions, "moves": (False, True)}
    step, _ = make_step(**settings)
    rows, columns = np.mgrid[:32, :40]
    labels = np.stack([(rows > 9 + n) * 1 + (columns > 20 - n) for n in range(8)])
    values = np.array([40.0, 120.0, 230.0], np.float32)
    images = np.repeat(values[labels][..., None], 2, axis=-1)
    batch = Batch(images, labels.astype(np.int8), np.ones(8, np.float32))
    moved, _, _ = jax.jit(step.inputs)(batch, jax.random.key(3), 0)
    seen = np.asarray(moved.images[..., 0])
    found = np.asarray(moved.labels)
    expected = (values - NORMALIZATION.mean[0]) / NORMALIZATION.std[0]
    assert not np.array_equal(found, labels)
    for number, value in enumerate(expected):
        pure = np.isclose(seen, value, atol=1e-3)  # not between two areas
        assert pure.any()
        assert np.isin(found[pure], (number, -1)).all()
        assert (found[pure] == number).mean() > 0.97
    if "crop_padding" in move:
        empty = (seen == 0) & (found == -1)
        assert empty.sum() == (found == -1).sum() > 0
