"""A training run in TensorBoard: curves, settings, images and layers."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from tensorboardX import summary
from tensorboardX.proto.event_pb2 import SessionLog  # pyright: ignore[reportAttributeAccessIssue]
from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

from cnnjax.report.event_files import EventFiles
from cnnjax.report.sheet import as_png
from cnnjax.report.tracker import Tracker
from cnnjax.streams import printable

if TYPE_CHECKING:
    pass

FOLDER = "tensorboard"
BINS = 64
"""Of a histogram."""


class TensorBoard(Tracker):
    """A reporter that writes TensorBoard's event files.

    There are three kinds of files. One ending in ``.start`` describes the run, and one
    ending in ``.end`` holds its test and how it ended; both are written anew when a run
    is resumed. The others, ending in ``.log``, hold all else. A resumed run begins a
    new one with a mark that makes TensorBoard drop the steps that are repeated.

    Args:
        files: of the run.
        settings: of the run by dotted names.
    """

    def __init__(self, files: EventFiles, settings: Mapping[str, Any]):
        self._files, self._settings = files, settings

    def start(self, info: Mapping[str, Any]) -> None:
        """Write the settings, as text and as hyperparameters."""
        self._files.remove("start", "end")
        self._files.begin("start")
        text = f"{_as_code(info)}\n\nSettings:\n\n{_as_code(self._settings)}"
        self._files.write(0, summary=summary.text("config", text))
        names = [
            f"{split}/{name}" for split in ("val", "test") for name in info["metrics"]
        ]
        metrics = {printable(name): None for name in names}
        self._experiment, start, self._success = summary.hparams(
            {name: _hparam(value) for name, value in self._settings.items()}, metrics
        )
        self._files.write(0, summary=self._experiment)
        self._files.write(0, summary=start)

    def rewind(self, step: int) -> None:
        """Begin a file that makes TensorBoard drop what it has of later steps."""
        self._files.begin("log")
        mark = SessionLog(status=SessionLog.START)
        self._files.write(step + 1, session_log=mark)

    def log(self, record: Mapping[str, Any]) -> None:
        """Write the numbers of a record."""
        if record["kind"] == "test":
            self._files.begin("end")
        super().log(record)

    def layers(
        self,
        step: int,
        scalars: Mapping[str, float],
        arrays: Mapping[str, np.ndarray],
    ) -> None:
        """Write the numbers of each layer, and histograms."""
        super().layers(step, scalars, arrays)
        values = []
        for name, array in arrays.items():
            flat = np.asarray(array, np.float64).ravel()
            if flat.size and np.isfinite(flat).all():  # other numbers have no histogram
                bins = summary.make_histogram(flat, BINS)
                values.append(Summary.Value(tag=printable(name), histo=bins))
        self._files.write(step, summary=Summary(value=values))

    def end(self, info: Mapping[str, Any]) -> None:
        """Write that the run is over."""
        if not info["reason"].startswith("SIG"):
            self._files.write(info["step"], summary=self._success)

    def close(self) -> None:
        """Close the files."""
        self._files.close()

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write numbers of a step by their names."""
        values = [
            Summary.Value(tag=printable(name), simple_value=value)
            for name, value in scalars.items()
        ]
        self._files.write(step, summary=Summary(value=values))

    def write_picture(self, name: str, step: int, picture: Image.Image) -> None:
        """Write a picture of a step."""
        image = Summary.Image(
            height=picture.height,
            width=picture.width,
            colorspace=3,
            encoded_image_string=as_png(picture),
        )
        value = Summary.Value(tag=name, image=image)
        self._files.write(step, summary=Summary(value=[value]))


def make_tensorboard(workdir: Path, settings: Mapping[str, Any], tell) -> TensorBoard:
    """The reporter that writes to ``tensorboard/`` in a working directory.

    Raises:
        ConfigError: something else in place of that folder.
    """
    return TensorBoard(EventFiles(workdir / FOLDER, tell), settings)


def _as_code(values: Mapping[str, Any]) -> str:
    """Values as an indented block, in which Markdown changes nothing."""
    text = json.dumps(dict(values), indent=2, default=str)
    return "\n".join(f"    {line}" for line in text.splitlines())


def _hparam(value: Any) -> Any:
    """A setting as TensorBoard shows it: a number, a switch or text."""
    if isinstance(value, bool | int) or (
        isinstance(value, float) and math.isfinite(value)
    ):
        return value
    return printable("None" if value is None else value)
