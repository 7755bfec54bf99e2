"""What a report is made of: the facts about one run, from its files and its data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from cnnjax.data import Split
from cnnjax.metrics import Outputs
from cnnjax.streams import printable

LONGEST_NAME = 60
"""Characters of the longest name of a class that is shown whole."""


class SettingFact(NamedTuple):
    """One setting of a run.

    Attributes:
        name: its dotted name.
        value: as text.
        default: as text.
        is_changed: whether the value is not the default.
    """

    name: str
    value: str
    default: str
    is_changed: bool


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a model says about the test split.

    Attributes:
        outputs: of each example.
        split: the examples, in the same order.
        files: the name of each image file; ``None`` without files.
    """

    outputs: Outputs
    split: Split
    files: Sequence[str] | np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Doubtful:
    """Training examples whose labels may be wrong, the most doubtful first.

    Attributes:
        predicted: what the model says about them; all have names.
        looked_at: among how many they were found.
        examples: of the training split, with known labels.
    """

    predicted: Predicted
    looked_at: int
    examples: int


@dataclass(frozen=True, eq=False)
class LabelMaps:
    """What a segmentation says about the test split.

    Attributes:
        confusion: how many pixels of each class (rows) are predicted as each (columns).
        split: some examples.
        predictions: their maps ``(n, *spatial)``.
        names: of these examples.
    """

    confusion: np.ndarray
    split: Split
    predictions: np.ndarray
    names: Sequence[str]


class LayerValues(NamedTuple):
    """An array of a layer: its kernel, or its output for one example."""

    layer: str
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Inside:
    """What is inside the network.

    Attributes:
        kernels: the names of the layers with a kernel, in the order in which they run.
        filters: those of the first layer, ``(*window, channels, filters)``; ``None`` if
            it is no convolution.
        image: the test example of ``maps``.
        name: of that example.
        maps: outputs ``(*positions, channels)`` of the first layer and of a middle one.
    """

    kernels: Sequence[str]
    filters: LayerValues | None
    image: np.ndarray
    name: str
    maps: Sequence[LayerValues]


@dataclass(frozen=True, eq=False)
class RunFacts:
    """The facts about a run. All texts may come from somebody else.

    Attributes:
        name: what to call the run.
        workdir: its folder, for commands.
        model: the name of the network.
        options: of the network, by name.
        task: what its outputs mean.
        num_classes: outputs of the network.
        class_names: one per class or output; may be empty without predictions.
        image_shape: ``(*spatial, channels)``.
        source: where the data came from.
        examples: of each split, by name.
        records: the lines of ``metrics.jsonl``.
        layers: the lines of ``layers.jsonl``.
        settings: all of them.
        monitor: the metric that selects the best checkpoint.
        best_step: of the best validation, if there was one.
        step: of the state that was scored; ``None`` if none was.
        score: of the test split by name; empty if it is unknown.
        parameters: how many the network has; ``None`` if that is unknown.
        predicted: the predictions for the test split, if they could be made.
        problem: why there are no predictions; empty if there are some.
        label_maps: the same as ``predicted`` for a segmentation.
        doubtful: training examples that may have wrong labels.
        not_doubtful: why there are none; empty if there are, or none were wanted.
        inside: what is inside the network, if it could be looked at.
        identity: of the test split, to tell whether two runs were tested on the same.
        machine: what the run was trained on, by name.
        versions: of the libraries that wrote the report, by name.
    """

    name: str
    workdir: str
    model: str
    options: Mapping[str, Any]
    task: str
    num_classes: int
    class_names: Sequence[str]
    image_shape: Sequence[int]
    source: str
    examples: Mapping[str, int]
    records: Sequence[Mapping[str, Any]]
    settings: Sequence[SettingFact]
    monitor: str = "loss"
    best_step: int | None = None
    step: int | None = None
    score: Mapping[str, float] = field(default_factory=dict)
    parameters: int | None = None
    predicted: Predicted | None = None
    problem: str = ""
    layers: Sequence[Mapping[str, Any]] = ()
    label_maps: LabelMaps | None = None
    doubtful: Doubtful | None = None
    not_doubtful: str = ""
    inside: Inside | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown_names(self) -> list[str]:
        """The names of the classes, safe and short enough to show."""
        return [shorten(name) for name in self.class_names]


def shorten(text: object, length: int = LONGEST_NAME) -> str:
    """Text on one line without control characters, cut off if it is long."""
    shown = printable(text)
    return shown if len(shown) <= length else f"{shown[: length - 1]}…"
