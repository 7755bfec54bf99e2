"""The training step that a config describes."""

from collections.abc import Mapping

from cnnjax.config import Config
from cnnjax.data.augmentation import Mixing, moves_pixels
from cnnjax.data.tasks import SEGMENTATION
from cnnjax.models.layer_groups import LayerGroup, decay_factors, layer_groups
from cnnjax.train.machine.devices import AXIS
from cnnjax.train.machine.numerics import configured
from cnnjax.train.run.experiment import Experiment
from cnnjax.train.run.freezing import frozen_in
from cnnjax.train.step.train_step import TrainStep


def make_train_step(
    config: Config, experiment: Experiment, stage: int = 0
) -> TrainStep:
    """The training step that a config describes, for one device of several.

    Args:
        config: checked settings.
        experiment: what they stand for.
        stage: of unfreezing; see ``cnnjax.train.run.freezing.stage_after``.
    """
    pairs = [*zip(config.data.augment, experiment.augmentations, strict=True)]
    functions = [(text, each) for text, each in pairs if callable(each)]
    has_maps = experiment.dataset.task == SEGMENTATION
    return TrainStep(
        model=experiment.model,
        loss_function=experiment.training_loss,
        normalization=experiment.normalization,
        optimizer=experiment.optimizer,
        schedule=experiment.schedule,
        crop_padding=config.data.crop_padding,
        flip=config.data.flip,
        augmentations=tuple(each for _, each in functions),
        moves=tuple(has_maps and moves_pixels(text) for text, _ in functions),
        mixings=tuple(each for _, each in pairs if isinstance(each, Mixing)),
        accumulate_steps=config.accumulate_steps,
        task=experiment.dataset.task,
        class_weights=experiment.class_weights,
        frozen=frozen_in(config, stage),
        rates=layer_rates(config, experiment),
        average_decay=config.average_decay,
        spike_factor=config.spike_factor,
        axis_name=AXIS,
    )


def layer_rates(config: Config, experiment: Experiment) -> Mapping[str, float] | None:
    """What the learning rate of each parameter is multiplied by, by its name.

    ``None`` where ``optimizer.layer_decay`` is not set.
    """
    groups = rated_groups(config, experiment)
    return {name: rate for rate, group in groups for name in group.arrays} or None


def rated_groups(
    config: Config, experiment: Experiment
) -> list[tuple[float, LayerGroup]]:
    """The groups of the network's layers with their factors of the learning rate.

    They go from the stem to the head; there are none where ``optimizer.layer_decay`` is
    not set.
    """
    decay = config.optimizer.layer_decay
    if decay in (None, 1):
        return []
    shape = experiment.dataset.train.images.shape[1:]
    with configured(config):
        groups = layer_groups(experiment.model, shape)
    return list(zip(decay_factors(decay, len(groups)), groups, strict=True))


def describe_rates(config: Config, experiment: Experiment) -> str:
    """What ``optimizer.layer_decay`` does, in a sentence; empty if it is not set."""
    groups = rated_groups(config, experiment)
    if not groups:
        return ""
    (least, stem), (_, head) = groups[0], groups[-1]
    return (
        f"layer_decay {config.optimizer.layer_decay:g}: learning rates times"
        f" {least:.3g} ({', '.join(stem.layers)}) to 1 ({', '.join(head.layers)}) in"
        f" {len(groups)} groups, which cnnjax info --config=FILE lists"
    )
