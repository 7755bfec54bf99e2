"""What ``cnnjax replay`` prints and writes about a past step."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnjax.files import write_whole
from cnnjax.report.inputs_sheet import draw_inputs
from cnnjax.report.sheet import as_png
from cnnjax.report.table_file import write_table
from cnnjax.streams import printable
from cnnjax.train.run.first_failure import describe_example, describe_failure
from cnnjax.train.run.update_size import describe_updates
from cnnjax.train.step.state import named_leaves

if TYPE_CHECKING:
    from cnnjax.train.run.replay import Replay

IMAGES, EXAMPLES, LAYERS, PARAMETERS = (
    "batch.png",
    "examples.csv",
    "layers.csv",
    "parameters.csv",
)
LISTED = 5  # examples with the largest gradients


def write_replay(replay: "Replay", folder: Path, examples: int = 64) -> None:
    """Writes the images of the batch, and tables of its examples and of the layers.

    Args:
        replay: the step.
        folder: where the files go; it is created.
        examples: how many images to draw at most.

    Raises:
        OSError: the files cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sheet = draw_inputs(
        f"What the network saw at step {replay.step:,}",
        [replay.shown(examples)],
        replay.experiment.dataset,
        replay.experiment.normalization,
    )
    write_whole(folder / IMAGES, as_png(sheet))
    write_table(folder / EXAMPLES, _example_rows(replay))
    write_table(folder / LAYERS, _layer_rows(replay))
    write_table(folder / PARAMETERS, _parameter_rows(replay))


def _example_rows(replay: "Replay") -> list[list[Any]]:
    files = replay.experiment.dataset.files.get("train")
    rows: list[list[Any]] = [
        ["position", "example", "file", "label", "loss", "gradient_norm"]
    ]
    for position in range(len(replay.inputs.labels)):
        number = int(replay.inputs.numbers[position])
        label = replay.inputs.labels[position]
        rows.append(
            [
                position,
                number,
                "" if files is None else files[number],
                int(label) if label.ndim == 0 else " ".join(map(str, label)),
                float(replay.norms.losses[position]),
                float(replay.norms.total[position]),
            ]
        )
    return rows


def _layer_rows(replay: "Replay") -> list[list[Any]]:
    rows: list[list[Any]] = [["layer", "largest_output", "largest_output_gradient"]]
    for name, sizes in replay.norms.outputs.items():
        slope = np.max(replay.norms.slopes[name])
        rows.append([name, float(np.max(sizes)), float(slope)])
    return rows


def _parameter_rows(replay: "Replay") -> list[list[Any]]:
    columns = ["gradient_norm", "weight_norm", "update_norm", "update_to_weight"]
    rows: list[list[Any]] = [["parameter", *columns]]
    gradients = dict(named_leaves(replay.gradients))
    after = dict(named_leaves(replay.after.params))
    for name, before in named_leaves(replay.before.params):
        norms = [
            float(np.linalg.norm(np.asarray(x, np.float64)))
            for x in (gradients[name], before, after[name] - before)
        ]
        rows.append([name, *norms, norms[2] / norms[1] if norms[1] else ""])
    return rows


def describe_replay(replay: "Replay", folder: Path) -> list[str]:
    """Sentences about a step, for the terminal."""
    start = f"the checkpoint of step {replay.start}" if replay.start else "the start"
    metrics = replay.metrics
    proof = (
        "its update was repeated bit for bit"
        if replay.is_exact
        else "its update was repeated up to rounding: the program that computes"
        " per-example gradients is compiled separately from the training program"
    )
    causes = [describe_failure(replay), describe_updates(replay.updates)]
    lines = [
        f"step {replay.step}, rebuilt from {start}: loss {metrics.loss:.6g}, gradient"
        f" norm {metrics.gradient_norm:.6g}, learning rate {metrics.learning_rate:.4g};"
        f" {proof}",
        *[cause for cause in causes if cause],
        "examples with the largest gradients:",
    ]
    norms = np.nan_to_num(replay.norms.total, nan=np.inf)
    for position in np.argsort(-norms, kind="stable")[:LISTED]:
        lines.append(
            f"  {describe_example(replay, int(position))}: loss"
            f" {replay.norms.losses[position]:.4g}, gradient norm"
            f" {replay.norms.total[position]:.4g}"
        )
    names = ", ".join((IMAGES, EXAMPLES, LAYERS, PARAMETERS))
    return [*lines, f"written to {printable(str(folder))}: {names}"]
