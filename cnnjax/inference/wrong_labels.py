"""Likely wrong labels: the examples with the largest losses or gradients.

A trained network has learned what most labels say. An example whose label contradicts
that has a large loss, and its gradient pulls the weights away from where the other
examples want them. The norm of that gradient is the score GraNd of Paul et al. 2021
(arXiv:2107.07075), here of trained weights; it also grows with the values of the image.
"""

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax import progress
from cnnjax.data import Split, eval_batches, normalize
from cnnjax.data.tasks import SEGMENTATION, check_labels, is_known
from cnnjax.errors import ConfigError, DataError, unknown_name
from cnnjax.inference.trained_model import TrainedModel
from cnnjax.metrics import Outputs
from cnnjax.train.machine.numerics import configured
from cnnjax.train.step.example_norms import per_example_gradient_norms
from cnnjax.train.step.loss import make_loss
from cnnjax.train.step.state import named_leaves

RANKED_BY = ("loss", "gradient")
BATCH = 64
"""Examples whose gradients are taken together."""


class RankedLabels(NamedTuple):
    """Examples with known labels, the most doubtful first.

    Attributes:
        numbers: of the examples within their split ``(n,)``.
        logits: ``(n, classes)``.
        losses: ``(n,)``.
        gradient_norms: of the loss of each example with respect to all parameters
            ``(n,)``.
        noise_scale: of the gradients, see ``noise_scale``.
    """

    numbers: np.ndarray
    logits: np.ndarray
    losses: np.ndarray
    gradient_norms: np.ndarray
    noise_scale: float | None


def rank_labels(
    trained: TrainedModel, examples: Split, by: str = "loss"
) -> RankedLabels:
    """Ranks examples by their loss, or by the norm of its gradient.

    The network runs as in evaluation, so that each gradient depends on one example
    alone. The loss is that of the run, without class weights.

    Args:
        trained: the model.
        examples: images in the range of the training data, with their labels. Those
            with an unknown label are left out.
        by: ``"loss"`` or ``"gradient"``.

    Raises:
        ConfigError: another ``by``, or a segmentation, which has many labels per image.
        DataError: labels that do not fit the model.

    Example::

        >>> import cnnjax
        >>> from cnnjax.data import Split
        >>> from cnnjax.inference.wrong_labels import rank_labels
        >>> trained = cnnjax.load("runs/digits")  # doctest: +SKIP
        >>> ranked = rank_labels(trained, Split(images, labels))  # doctest: +SKIP
        >>> images[ranked.numbers[:10]]  # to be looked at  # doctest: +SKIP
    """
    if by not in RANKED_BY:
        raise ConfigError(str(unknown_name("ranking", by, RANKED_BY)))
    model = trained.description
    if model.task == SEGMENTATION:
        raise ConfigError(
            "the model predicts a class for each pixel, and images with many labels"
            " each are not ranked: 'cnnjax evaluate --report' shows which classes are"
            " confused"
        )
    labels = check_labels("given", examples.labels, model.num_classes, model.task)
    examples, count = Split(examples.images, labels), len(labels)
    size, step = min(BATCH, count), _make_step(trained)
    kept: list[Any] = []
    gradient: Any = None
    batches = eval_batches(examples, size)
    for start in range(0, count, size):
        progress.tell("comparing gradients", start, count)
        logits, losses, norms, part = step(trained.variables, next(batches))
        rows = [np.asarray(x)[: count - start] for x in (logits, losses, norms)]
        kept.append(rows)
        part = {name: np.asarray(a, np.float64) for name, a in named_leaves(part)}
        if gradient is not None:
            part = {name: gradient[name] + a for name, a in part.items()}
        gradient = part
    progress.tell("comparing gradients", count, count)
    logits, losses, norms = map(np.concatenate, zip(*kept, strict=True))
    known = np.flatnonzero(is_known(labels))
    mean = sum(float(np.square(a / len(known)).sum()) for a in gradient.values())
    scale = noise_scale(norms[known], mean)
    numbers = known[most_doubtful((losses if by == "loss" else norms)[known])]
    return RankedLabels(
        numbers, logits[numbers], losses[numbers], norms[numbers], scale
    )


def most_doubtful(values: np.ndarray) -> np.ndarray:
    """The order of examples from the largest loss or gradient; NaN comes first."""
    return np.argsort(-np.nan_to_num(values, nan=np.inf), kind="stable")


def find_largest_losses(
    trained: TrainedModel,
    examples: Split,
    count: int,
    *,
    most: int = 10_000,
    seconds: float = 3.0,
) -> tuple[np.ndarray, Outputs, int]:
    """The first of ``rank_labels`` by loss, among as many examples as time allows.

    Needs no gradients. Of more than ``most`` examples, or if the time is up, a random
    part is looked at.

    Args:
        trained: the model; not one of a segmentation.
        examples: see ``rank_labels``.
        count: how many are wanted.
        most: examples to look at.
        seconds: after which no further batch is begun, without compilation.

    Returns:
        Their numbers, what the model says about them, and how many were looked at.

    Raises:
        DataError: images that cannot be read.
    """
    described = trained.description
    loss = make_loss(described.loss, described.loss_options, described.task)

    @jax.jit
    def step(variables, images, labels):
        with configured(trained.config):
            x = normalize(images, described.normalization)
            logits: Any = trained.model.apply(variables, x, train=False)
            return logits.astype(jnp.float32), loss(logits, labels)

    known = np.flatnonzero(is_known(examples.labels))
    if not len(known):
        raise DataError("no training example has a known label")
    order = np.random.default_rng(0).permutation(known)[:most]
    size = min(BATCH, len(order))
    kept: list[Any] = []
    end = math.inf
    for begin in range(0, len(order), size):
        if time.monotonic() > end:
            order = order[:begin]
            break
        real = min(size, len(order) - begin)
        numbers = np.resize(np.sort(order[begin : begin + size]), size)
        labels = examples.labels[numbers]
        images = examples.images[numbers]
        logits, losses = step(trained.variables, images, labels)
        rows = numbers, np.asarray(logits), labels, np.asarray(losses, np.float32)
        kept.append([x[:real] for x in rows])
        if not begin:  # the step has been compiled
            end = time.monotonic() + seconds
        progress.tell("looking for wrong labels", begin + real, len(order))
    progress.tell("looking for wrong labels", len(order), len(order))
    numbers, logits, labels, losses = map(np.concatenate, zip(*kept, strict=True))
    first = most_doubtful(losses)[:count]
    logits, labels, losses = (x[first] for x in (logits, labels, losses))
    outputs = Outputs(logits, labels, losses, described.is_sigmoid, described.task)
    return numbers[first], outputs, len(order)


def noise_scale(norms: np.ndarray, mean_square: float) -> float | None:
    """The simple gradient noise scale, in examples (McCandlish et al. 2018).

    With G the mean of all gradients and Sigma the covariance of single ones, it is
    ``tr(Sigma) / |G|^2``, estimated without bias. In a batch of that many examples, the
    noise is as large as the gradient; larger batches save few steps. It grows during
    training. See arXiv:1812.06162, appendix A.

    Args:
        norms: of the gradients of n examples ``(n,)``, at least 2.
        mean_square: the squared norm of the mean of these gradients.

    Returns:
        ``None`` if the examples are too few to tell the mean gradient from noise.

    Example::

        >>> import numpy as np
        >>> from cnnjax.inference.wrong_labels import noise_scale
        >>> round(noise_scale(np.array([5.0, 5.0]), 16.0), 2)  # (4, 3) and (4, -3)
        2.57
    """
    n = len(norms)
    if n < 2:
        return None
    trace = (np.square(norms.astype(np.float64)).mean() - mean_square) * n / (n - 1)
    square = mean_square - trace / n
    return float(trace / square) if square > 0 else None


def _make_step(trained: TrainedModel) -> Callable[..., Any]:
    """From variables and a batch: logits, losses, norms, and the sum of gradients."""
    described, model = trained.description, trained.model
    loss = make_loss(described.loss, described.loss_options, described.task)

    def logits_of(variables, x) -> Any:
        return model.apply(variables, x, train=False)

    def total(params, variables, x, batch):
        logits = logits_of({**variables, "params": params}, x)
        return jnp.where(batch.weights > 0, loss(logits, batch.labels), 0).sum()

    @jax.jit
    def step(variables, batch):
        with configured(trained.config):
            x = normalize(batch.images, described.normalization)
            norms = per_example_gradient_norms(
                model, variables, x, lambda logits: loss(logits, batch.labels)
            )
            gradient = jax.grad(total)(variables["params"], variables, x, batch)
            logits = logits_of(variables, x).astype(jnp.float32)
            return logits, norms.losses, norms.total, gradient

    return step
