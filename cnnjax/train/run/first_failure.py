"""Where a step went wrong: the first layer with values that are not finite."""

from typing import TYPE_CHECKING, Any

import numpy as np

from cnnjax.data import Dataset
from cnnjax.streams import printable
from cnnjax.train.step.state import named_leaves

if TYPE_CHECKING:
    from cnnjax.train.run.replay import Replay


def describe_failure(replay: "Replay") -> str:
    """Where values that are not finite began; empty if all are finite."""
    previous = np.abs(replay.inputs.images).reshape(len(replay.inputs.labels), -1)
    previous = previous.max(1)
    if not np.isfinite(previous).all():
        return _blame(replay, "the input", previous, previous)
    for name, sizes in replay.norms.outputs.items():
        if not np.isfinite(sizes).all():
            return _blame(replay, f"the output of {name}", sizes, previous)
        previous = sizes
    if not np.isfinite(replay.norms.losses).all():
        return _blame(replay, "the loss", replay.norms.losses, previous)
    for name, sizes in reversed(list(replay.norms.slopes.items())):
        if not np.isfinite(sizes).all():
            what = f"the gradient of the output of {name}"
            return _blame(replay, what, sizes, previous)
    for name, gradient in named_leaves(replay.gradients):
        if not np.isfinite(gradient).all():
            return f"the first values that are not finite: the gradient of {name}"
    return ""


def _blame(replay: "Replay", what: str, sizes: Any, before: Any) -> str:
    """Names the example that began it: the one with the largest values before."""
    bad = np.flatnonzero(~np.isfinite(sizes))
    worst = int(bad[np.argmax(np.nan_to_num(before[bad], nan=np.inf, posinf=np.inf))])
    count = f"{len(bad)} of {len(sizes)} examples" if len(bad) > 1 else "one example"
    image = np.abs(replay.inputs.images[worst]).max()
    return (
        f"the first values that are not finite: {what}, for {count}; it began with"
        f" {describe_example(replay, worst)}, whose normalized image has values up to"
        f" {image:.4g}"
    )


def describe_example(replay: "Replay", position: int) -> str:
    """An example of the batch by its name."""
    number = int(replay.inputs.numbers[position])
    return name_example(replay.experiment.dataset, number, position)


def name_example(dataset: Dataset, number: int, position: int) -> str:
    """Such as ``"example 17 (cats/3.png), at position 5 of the batch"``."""
    files = dataset.files.get("train")
    file = "" if files is None else f" ({printable(str(files[number]))})"
    return f"example {number}{file}, at position {position} of the batch"
