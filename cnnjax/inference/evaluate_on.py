"""Scores a trained model on data that it was not trained with."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnjax import progress
from cnnjax.data import Dataset, RawDataset, Split, eval_batches
from cnnjax.data.augmentation import Variant, mean_logits
from cnnjax.data.dataset import (
    SPLITS,
    as_raw_dataset,
    check_class_names,
    check_split,
)
from cnnjax.data.image_files import FileSettings
from cnnjax.data.sources import load_raw
from cnnjax.data.tasks import (
    MULTILABEL,
    REGRESSION,
    SEGMENTATION,
    UNKNOWN,
    check_labels,
)
from cnnjax.errors import ConfigError, DataError, show
from cnnjax.inference.trained_model import TrainedModel, batch_sizes
from cnnjax.metrics import Metric, Outputs
from cnnjax.streams import warn
from cnnjax.train.run.evaluate_run import Augmented, choose_variants
from cnnjax.train.run.evaluation import Evaluation, Score, make_score
from cnnjax.train.run.imports import import_paths
from cnnjax.train.run.metrics import check_metrics, make_metrics
from cnnjax.train.run.segmentation import refuse_variants
from cnnjax.train.step.loss import is_correct, make_loss
from cnnjax.train.step.pixels import as_pixels


class Scored(NamedTuple):
    """A score, and the split it belongs to; ``"all"`` for all examples.

    Attributes:
        split: its name.
        score: of that split.
        outputs: of each of its examples; ``None`` for label maps.
        augmented: the score with test-time augmentation, if there is one.
        files: the name of the image file of each, or ``None`` without files.
        confusion: for label maps, how many pixels of each class (rows) are predicted as
            each class (columns).
    """

    split: str
    score: Score
    outputs: Outputs | None
    augmented: Augmented | None = None
    files: np.ndarray | None = None
    confusion: np.ndarray | None = None


def evaluate_on(
    trained: TrainedModel,
    data: Any,
    split: str | None = None,
    augment: Sequence[str] | None = None,
) -> Scored:
    """The score of a trained model on any data set, each example counted once.

    Where both the model and the data have class names, classes are matched by name.

    Args:
        trained: the model.
        data: a source such as ``"npz:new.npz"``, ``(images, labels)``, a ``RawDataset``
            or a ``Dataset``.
        split: ``"train"``, ``"validation"`` or ``"test"``; by default the test split
            if the data has one, else all of it. Nothing is held out.
        augment: for a second score, with test-time augmentation; by default what the
            run's setting ``eval_augment`` says.

    Raises:
        ConfigError: a split that the data lacks.
        DataError: data that cannot be read, or does not fit the model.
    """
    metrics = _make_metrics(trained)
    names, variants = choose_variants(augment, trained.description.eval_augment)
    raw, name, examples = read_examples(trained, data, split)
    labels = match_classes(examples, raw.class_names, trained)
    model = trained.description
    check_metrics(model.metrics, metrics, model.num_classes, labels, model.task)
    examples = Split(examples.images, labels)
    augmented = None
    if model.task == SEGMENTATION:
        refuse_variants(names, "augment")
    if variants:
        augmented = Augmented(names, _evaluate(trained, examples, metrics, variants)[0])
    score, outputs, confusion = _evaluate(trained, examples, metrics)
    members = [each for each in SPLITS if name in ("all", each)]
    files = [raw.files[each] for each in members if each in raw.files]
    names_of_files = np.concatenate(files) if files else None
    return Scored(name, score, outputs, augmented, names_of_files, confusion)


def read_examples(
    trained: TrainedModel, data: Any, split: str | None
) -> tuple[RawDataset | Dataset, str, Split]:
    """Other data, and the examples of one of its splits with the split's name.

    The arguments are those of ``evaluate_on``.

    Raises:
        ConfigError: a split that the data lacks.
        DataError: data that cannot be read, or images of another shape.
    """
    if split not in (None, *SPLITS):
        valid = ", ".join(SPLITS)
        raise ConfigError(f"split is {show(split)}, expected one of {valid}")
    if isinstance(data, str):
        raw = load_raw(data, files=_files_as(trained))
    else:
        raw = as_raw(data)
    name, examples = _choose(raw, split)
    shape, expected = tuple(examples.images.shape[1:]), trained.image_shape
    if shape != expected:
        raise DataError(
            f"images of the data have shape {shape}: expected {expected}, as in"
            " training"
        )
    return raw, name, examples


def _files_as(trained: TrainedModel) -> FileSettings:
    """Reads image files as they were read for training."""
    decoding = trained.description.decoding
    if decoding is None:
        return FileSettings()
    return FileSettings(
        decoding.size, decoding.resize, decoding.crop_fraction, like=decoding
    )


def as_raw(data: Any) -> RawDataset | Dataset:
    """Data that a Python caller passed, as splits.

    Raises:
        ConfigError: something else than data.
    """
    raw = data if isinstance(data, Dataset) else as_raw_dataset(data)
    if raw is not None:
        return raw
    raise ConfigError(
        f"data is {show(data)}, expected a source such as 'digits', a tuple (images,"
        " labels), a RawDataset or a Dataset"
    )


def _choose(raw: RawDataset | Dataset, split: str | None) -> tuple[str, Split]:
    """The split that was asked for; by default the test split, or all examples."""
    given = {
        name: check_split(name, Split(*getattr(raw, name)))
        for name in SPLITS
        if getattr(raw, name) is not None
    }
    if split is None and "test" not in given:
        images = [part.images[:] for part in given.values()]
        labels = [part.labels for part in given.values()]
        return "all", Split(np.concatenate(images), np.concatenate(labels))
    name = split or "test"
    if name not in given:
        raise ConfigError(
            f"split is {split!r}, but the data has only {', '.join(given)}; nothing is"
            " held out here"
        )
    return name, given[name]


def match_classes(
    examples: Split, names: Sequence[str] | None, trained: TrainedModel
) -> np.ndarray:
    """The labels as classes of the model.

    Raises:
        DataError: classes that the model does not know.
    """
    model = trained.description
    ours, task = model.class_names, model.task
    if ours is None or names is None:
        return check_labels("given", examples.labels, model.num_classes, task)
    names = check_class_names(names, len(names))
    labels = check_labels("given", examples.labels, len(names), task)
    if missing := [name for name in names if name not in ours]:
        raise DataError(
            f"the data has {_what(task)} that the model does not have"
            f" ({_list(missing)}): the data has {_list(names)}, the model has"
            f" {_list(ours)}"
        )
    if labels.ndim == 1 or task == SEGMENTATION:
        numbers = np.array([ours.index(name) for name in names], np.int32)
        return np.where(labels < 0, UNKNOWN, numbers[labels])
    absent = [name for name in ours if name not in names]
    if absent and task != MULTILABEL:
        raise DataError(
            f"the data lacks {_list(absent)}: expected a column for each of"
            f" {_list(ours)}"
        )
    if absent:
        warn(f"the data has no labels for {_list(absent)}, which are ignored")
    labels = np.concatenate([labels, np.full_like(labels[:, :1], UNKNOWN)], axis=1)
    columns = [names.index(name) if name in names else -1 for name in ours]
    return labels[:, columns]


def _what(task: str) -> str:
    return "outputs" if task == REGRESSION else "classes"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")


def _evaluate(
    trained: TrainedModel,
    examples: Split,
    metrics: Mapping[str, Metric],
    variants: Sequence[Variant] = (),
) -> Evaluation:
    model, has_maps = trained.description, trained.description.task == SEGMENTATION
    loss_function = make_loss(model.loss, model.loss_options, model.task)
    means = [metric.function for metric in metrics.values() if metric.is_mean]
    totals, kept = np.zeros(3 + len(means)), []
    count, size = len(examples.labels), batch_sizes(model)[-1]
    confusion = np.zeros((model.num_classes,) * 2, np.int64)
    batches = eval_batches(examples, size)
    for start in range(0, count, size):
        progress.tell("evaluating", start, count)
        batch = as_pixels(next(batches)) if has_maps else next(batches)
        images, labels, weights = (x[: count - start] for x in batch)
        real, logits = weights > 0, mean_logits(trained.logits, images, variants)
        losses = np.where(real, loss_function(logits, labels), 0).astype(np.float64)
        sums = [losses, is_correct(logits, labels, model.task) & real, real]
        sums += [np.where(real, mean(logits, labels), 0) for mean in means]
        totals += [np.asarray(values, np.float64).sum() for values in sums]
        if has_maps:
            chosen = np.asarray(real)
            pairs = np.asarray(labels)[chosen], np.asarray(logits).argmax(-1)[chosen]
            np.add.at(confusion, pairs, 1)
        else:
            kept.append((logits, losses))
    progress.tell("evaluating", count, count)
    if has_maps:
        score = make_score(totals, metrics, None, model.task, confusion)
        return Evaluation(score, None, confusion)
    logits, losses = map(np.concatenate, zip(*kept, strict=True))
    outputs = Outputs(logits, examples.labels, losses, model.is_sigmoid, model.task)
    return Evaluation(make_score(totals, metrics, outputs, model.task), outputs)


def _make_metrics(trained: TrainedModel) -> dict[str, Metric]:
    """The metrics that the run's settings name."""
    names = trained.description.metrics
    import_paths(trained.folder, [("metrics", name) for name in names])
    return make_metrics(names)
