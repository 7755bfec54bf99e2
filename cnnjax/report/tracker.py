"""What trackers of experiments share: names of a run's numbers, and its pictures."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from cnnjax.data import Dataset, Normalization
from cnnjax.metrics import Outputs
from cnnjax.report.confusion_picture import draw_confusion
from cnnjax.report.inputs_sheet import draw_inputs
from cnnjax.typing import Reporter

if TYPE_CHECKING:
    from cnnjax.train.run.inputs import Shown

_TRAIN = {
    "epoch": "epoch",
    "learning_rate": "lr",
    "images_per_second": "perf/images_per_second",
    "step_seconds": "perf/step_seconds",
    "host_fraction": "perf/host_fraction",
    "data_wait_fraction": "perf/waiting_for_data",
    "validation_seconds": "perf/validation_seconds",
    "checkpoint_seconds": "perf/checkpoint_seconds",
}
_SPLITS = {"train": "train", "validation": "val", "test": "test"}
_LEFT_OUT = ("kind", "step", "seconds", "examples")
_LEFT_OUT_OF_SCORES = (*_LEFT_OUT, "epoch")


def scalars_of(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a logged record, such as ``train/loss`` and ``val/accuracy``.

    Args:
        record: the argument of a reporter's ``log``.
    """
    split = _SPLITS[record["kind"]]
    names, left_out = {}, _LEFT_OUT_OF_SCORES
    if split == "train":
        names, left_out = _TRAIN, _LEFT_OUT
    return {
        names.get(name, f"{split}/{name}"): float(value)
        for name, value in record.items()
        if name not in left_out
    }


class Tracker(Reporter):
    """A reporter of numbers and pictures, which its subclass writes."""

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write numbers of a step by their names."""
        raise NotImplementedError

    def write_picture(self, name: str, step: int, picture: Image.Image) -> None:
        """Write a picture of a step."""
        raise NotImplementedError

    def log(self, record: Mapping[str, Any]) -> None:
        """Write the numbers of a record."""
        self.write_scalars(record["step"], scalars_of(record))

    def inputs(
        self, shown: Sequence["Shown"], dataset: Dataset, normalization: Normalization
    ) -> None:
        """Write a picture of the images as the network sees them."""
        picture = draw_inputs("Inputs", shown, dataset, normalization)
        self.write_picture("inputs", 0, picture)

    def layers(
        self, step: int, scalars: Mapping[str, float], arrays: Mapping[str, Any]
    ) -> None:
        """Write the numbers of each layer."""
        self.write_scalars(step, scalars)

    def outputs(
        self, kind: str, step: int, outputs: Outputs, class_names: Sequence[str] | None
    ) -> None:
        """Write a picture of the confusion matrix."""
        picture = draw_confusion(outputs, class_names)
        self.write_picture(f"{_SPLITS[kind]}/confusion", step, picture)
