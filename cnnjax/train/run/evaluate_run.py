"""The score of a trained run on one of its splits."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnjax.config import Config
from cnnjax.data import Dataset, Split, StreamedImages
from cnnjax.data.augmentation import Variant, make_variants
from cnnjax.data.dataset import SPLITS, check_split
from cnnjax.data.sources import load_split
from cnnjax.data.tasks import SEGMENTATION, check_labels
from cnnjax.errors import ConfigError
from cnnjax.json_file import read_json
from cnnjax.metrics import Outputs
from cnnjax.streams import warn
from cnnjax.train.machine import compilation_cache
from cnnjax.train.machine.compile import describe_state, make_evaluation
from cnnjax.train.machine.devices import make_devices
from cnnjax.train.machine.numerics import adapt_backend
from cnnjax.train.run import data_identity, model_file
from cnnjax.train.run.changes import check_noted
from cnnjax.train.run.evaluation import Score
from cnnjax.train.run.experiment import (
    Experiment,
    Parts,
    file_settings,
    make_experiment,
)
from cnnjax.train.run.imports import import_recorded
from cnnjax.train.run.segmentation import refuse_variants
from cnnjax.train.run.trained import find_state, wants_best
from cnnjax.train.run.workdir import (
    Origin,
    checkpoint_folder,
    known_normalization,
    read_config,
)
from cnnjax.train.step.state import TrainState, count_parameters


class Augmented(NamedTuple):
    """A score with test-time augmentation.

    Attributes:
        names: of what was done, such as ``("flip", "shift(1)")``.
        score: from the mean of the logits.
    """

    names: tuple[str, ...]
    score: Score


class Trained(NamedTuple):
    """A trained run as it is evaluated.

    Attributes:
        step: of the state that was scored.
        score: of that state on one of the splits.
        outputs: of each example; ``None`` if they were not kept.
        class_names: one per class, or ``None`` where the data has none.
        augmented: the score with test-time augmentation, if there is one.
        files: the name of the image file of each example, or ``None`` without files.
        confusion: for label maps, see ``Evaluation``.
        data: the split that was scored.
        parameters: how many the network has.
        notes: those of the checkpoint.
        experiment: what the settings stand for.
        state: that was scored.
        splits: the names of those splits of the data that were read.
    """

    step: int
    score: Score
    outputs: Outputs | None
    class_names: tuple[str, ...] | None
    augmented: Augmented | None
    files: np.ndarray | None
    confusion: np.ndarray | None
    data: Split
    parameters: int
    notes: Mapping[str, Any]
    experiment: Experiment
    state: TrainState
    splits: tuple[str, ...]


def evaluate_run(
    workdir: str | Path, split: str, step: str | int | None = None
) -> Score:
    """The score of a trained run on one of its splits, in the run's precision.

    Args:
        workdir: where ``train`` left the run.
        split: ``"train"``, ``"validation"`` or ``"test"``. The others are not read if
            the source keeps them apart.
        step: which of its states: ``"best"``, ``"last"`` or a step; by default the one
            with which training ended, which depends on early stopping.

    Raises:
        ConfigError: no run in ``workdir``, no such state, or files that the run was
            not trained with.
        CheckpointError: a state of another network or optimizer.
        FileNotFoundError: a run that saved no state.
    """
    return evaluate_step(workdir, split, step, augment=()).score


def evaluate_step(
    workdir: str | Path,
    split: str,
    step: str | int | None = None,
    *,
    keep_outputs: bool = False,
    augment: Sequence[str] | None = None,
) -> Trained:
    """Like ``evaluate_run``, with what the score was computed from.

    Args:
        workdir: of the run.
        split: which examples.
        step: which of its states.
        keep_outputs: whether the outputs of each example are wanted.
        augment: for a second score, with test-time augmentation; by default what the
            setting ``eval_augment`` says.
    """
    origin = Origin(Path(workdir))
    config = adapt_backend(read_config(origin.folder), warn)
    names, variants = choose_variants(augment, config.eval_augment)
    compilation_cache.enable()
    experiment, identity = _open(origin, config, split)
    dataset = experiment.dataset
    shapes = describe_state(experiment, config)
    found = find_state(origin, wants_best(config), shapes, step)
    taken = int(found.arrays["step"])
    checkpoint = checkpoint_folder(origin.folder, taken)
    check_noted(found.notes, checkpoint, experiment.normalization, identity, dataset)
    devices = make_devices()
    state = devices.put_state(TrainState(**found.arrays))
    data: Split = getattr(dataset, split)
    evaluation = make_evaluation(config, experiment, devices, keep_outputs=keep_outputs)
    augmented = None
    if dataset.task == SEGMENTATION:
        refuse_variants(names, "augment")
    if variants:
        another = make_evaluation(config, experiment, devices, variants=variants)
        augmented = Augmented(names, another(state, data).score)
    score, outputs, confusion = evaluation(state, data)
    return Trained(
        step=taken,
        score=score,
        outputs=outputs,
        class_names=dataset.class_names,
        augmented=augmented,
        files=dataset.files.get(split),
        confusion=confusion,
        data=data,
        parameters=count_parameters(found.arrays["params"]),
        notes=found.notes,
        experiment=experiment,
        state=state,
        splits=tuple(identity),
    )


def read_dataset(workdir: str | Path, split: str) -> Dataset:
    """The data of a run, as it was when the run was trained.

    Of the splits other than ``split``, only the sizes may be there.

    Raises:
        ConfigError: no run in ``workdir``, or other data than it was trained with.
        DataError: data that cannot be read.
    """
    origin = Origin(Path(workdir))
    experiment, _ = _open(origin, read_config(origin.folder), split)
    return experiment.dataset


def read_split(workdir: str | Path, split: str) -> Split:
    """One of the splits of a run; see ``read_dataset``."""
    return getattr(read_dataset(workdir, split), split)


def _open(
    origin: Origin, config: Config, split: str
) -> tuple[Experiment, dict[str, Any]]:
    """What the settings of a run stand for, and the identity of its data.

    Of the data, only ``split`` is read, if the source keeps the splits apart.
    """
    import_recorded(origin.folder, config)
    normalization = known_normalization(origin)
    # Without its file, the normalization is measured on the training split.
    only = _read_only(split, config, origin.folder) if normalization else None
    experiment = make_experiment(config, normalization, parts=Parts(dataset=only))
    dataset = experiment.dataset
    identity = data_identity.describe(dataset, (split,) if only else SPLITS)
    data_identity.check_file(origin.folder, identity, dataset)
    return experiment, identity


def choose_variants(
    augment: Sequence[str] | None, setting: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[Variant, ...]]:
    """Names of test-time augmentation, and the variants that they stand for.

    Args:
        augment: the caller's names; ``None`` for those of the run.
        setting: the run's.

    Raises:
        ConfigError: no such name.
    """
    if augment is None:
        return setting, make_variants(setting)
    return tuple(augment), make_variants(augment, "augment")


def _read_only(name: str, config: Config, folder: Path) -> Dataset | None:
    """The data of a run with one split; of the others, only the sizes are there.

    ``None`` if the source cannot read this split alone, because it is held out of
    another one for example, or if the run is too old to note what that takes.

    Raises:
        DataError: the split cannot be read.
    """
    try:
        model = model_file.read(folder)
        noted = read_json(folder / data_identity.NAME)
        sizes = {each: int(noted[each]["examples"]) for each in SPLITS}
    except (ConfigError, OSError, ValueError, TypeError, KeyError):
        return None
    raw = load_split(
        config.data.source,
        name,
        streaming=config.data.streaming,
        files=file_settings(config)._replace(like=model.decoding),
    )
    if raw is None:
        return None
    read = check_split(name, Split(*getattr(raw, name)))
    labels = check_labels(name, read.labels, model.num_classes, model.task)
    train, validation, test = (
        Split(read.images, labels)
        if each == name
        else _unread(each, read.images, labels, sizes[each])
        for each in SPLITS
    )
    return Dataset(
        *(train, validation, test),
        model.num_classes,
        class_names=model.class_names,
        task=model.task,
        files=raw.files,
    )


def _unread(name: str, like: Any, labels: np.ndarray, examples: int) -> Split:
    """A split that nothing reads, like the images and the labels of another one."""

    def read(indices: np.ndarray) -> np.ndarray:
        raise RuntimeError(f"the {name} split was not read")

    none = np.broadcast_to(np.int32(0), examples)
    shape, dtype = like.shape[1:], like.dtype
    images = StreamedImages(name, read, shape, dtype, none)
    return Split(images, np.broadcast_to(labels[0], (examples, *labels.shape[1:])))
