"""What ``cnnjax inspect`` prints and writes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from cnnjax import progress
from cnnjax.data import normalize
from cnnjax.data.tasks import REGRESSION, SEGMENTATION
from cnnjax.errors import ConfigError, DataError, show, unknown_name
from cnnjax.files import write_whole
from cnnjax.inference.explain import STEPS, TOLERANCE, Explanations, explain
from cnnjax.inference.images import as_images
from cnnjax.inference.inputs import find_items
from cnnjax.inference.layer_outputs import (
    choose_layer,
    layer_outputs,
    layers_with_positions,
    output_shapes,
)
from cnnjax.inference.layer_statistics import LayerStatistics, layer_statistics
from cnnjax.inference.predictions import predicted_text
from cnnjax.inference.trained_model import TrainedModel
from cnnjax.report.inputs_sheet import label_text, shown_names
from cnnjax.report.maps_sheet import (
    FeatureMaps,
    ImportanceMaps,
    draw_features,
    draw_importance,
)
from cnnjax.report.sheet import as_png
from cnnjax.report.table_file import write_table
from cnnjax.streams import printable
from cnnjax.train.machine.numerics import configured
from cnnjax.train.run.evaluate_run import read_dataset

LAYERS, EXAMPLES, MAPS, FEATURES = (
    "layers.csv",
    "examples.csv",
    "maps.png",
    "features.png",
)
WITH_FEATURES = 4
"""Images whose feature maps are drawn at most."""


class Examples(NamedTuple):
    """Images to look at.

    Attributes:
        names: of each.
        images: in the range of the training data ``(n, *spatial, channels)``.
        labels: of each; ``None`` where there are none.
    """

    names: list[str]
    images: np.ndarray
    labels: np.ndarray | None


def inspect_examples(
    trained: TrainedModel,
    folder: Path,
    *,
    inputs: Sequence[str],
    count: int,
    class_name: str | None,
    layers: Sequence[str],
    steps: int = STEPS,
) -> list[str]:
    """Writes a table of the layers, and sheets of maps and of feature maps.

    Args:
        trained: the model.
        folder: where the files go; it is created.
        inputs: what ``cnnjax predict`` takes; if empty, test examples are taken.
        count: how many of these.
        class_name: the class or output to explain; ``None`` for the predicted one.
        layers: for Grad-CAM and feature maps; if empty, the last one, and for feature
            maps the first one as well.
        steps: from black to each image, for integrated gradients.

    Returns:
        Lines for the terminal.

    Raises:
        ConfigError: no such class or layer.
        DataError: images that cannot be read.
        OSError: the files cannot be written.
    """
    described = trained.description
    if getattr(trained.model, "remat", False):  # which hides the layers
        trained = replace(trained, model=trained.model.clone(remat=False))
    label = _class_number(trained, class_name)
    axes = len(trained.image_shape) - 1
    example = jax.ShapeDtypeStruct((1, *trained.image_shape), np.float32)
    with configured(trained.config):
        shapes = output_shapes(trained.model, trained.variables, example)
    known = layers_with_positions(shapes, axes)
    chosen = [choose_layer(shapes, axes, name) for name in layers] or known[-1:]
    found = _read(trained, inputs, count)
    x = normalize(found.images, described.normalization)
    with configured(trained.config), progress.elapsing("looking at the layers"):
        table = layer_statistics(trained.model, trained.variables, x)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [LayerStatistics._fields, *map(_layer_cells, table)]
    write_table(folder / LAYERS, rows)
    lines, written = _layer_lines(table), [LAYERS]
    logits = trained.logits(found.images)
    names = shown_names(described.class_names, described.num_classes, described.task)
    headings = [
        _heading(found, number, logits[number], trained, names)
        for number in range(len(found.names))
    ]
    title = f"{printable(trained.folder.name)}, step {trained.step:,}"
    if described.task == SEGMENTATION:
        lines.append(
            "no saliency, Grad-CAM or integrated gradients: they explain one class of"
            " an image, and this model predicts a class for each pixel"
        )
    else:
        maps = explain(trained, found.images, chosen, label, steps)
        sheet = _draw_maps(f"Importance maps: {title}", found, headings, maps, names)
        write_whole(folder / MAPS, as_png(sheet))
        _write_examples(folder / EXAMPLES, found, maps, logits, trained)
        lines.append(describe_errors(maps, steps))
        written += [EXAMPLES, MAPS]
    if chosen:
        chosen = chosen if layers else [*dict.fromkeys([known[0], known[-1]])]
        grids = _feature_maps(trained, x[:WITH_FEATURES], headings, chosen)
        sheet = draw_features(f"Feature maps: {title}", grids)
        write_whole(folder / FEATURES, as_png(sheet))
        written.append(FEATURES)
    else:
        lines.append("no Grad-CAM and no feature maps: no layer has positions")
    where = printable(str(folder))
    return [*lines, f"written to {where}: {', '.join(written)}"]


def _class_number(trained: TrainedModel, name: str | None) -> int | None:
    """The number of the class to explain; ``None`` for the predicted one."""
    described = trained.description
    if name is None:
        return 0 if described.task == REGRESSION else None
    if described.task == SEGMENTATION:
        raise ConfigError(
            f"--class is {show(name)}, but the model predicts a class for each pixel:"
            " leave it out"
        )
    if name not in described.names:
        raise ConfigError(str(unknown_name("class", name, described.names)))
    return described.names.index(name)


def _read(trained: TrainedModel, inputs: Sequence[str], count: int) -> Examples:
    """The images that the inputs name, or the first test examples."""
    if inputs:
        items = find_items(inputs)
        images = []
        for item in items:
            try:
                images.append(as_images(item.image, trained.description)[0])
            except DataError as error:
                if isinstance(item.image, Path):
                    raise
                raise DataError(f"{item.name}: {error}") from error
        return Examples([item.name for item in items], np.concatenate(images), None)
    dataset = read_dataset(trained.folder, "test")
    images, labels = (np.asarray(x[:count]) for x in dataset.test)
    files = dataset.files.get("test")
    names = [
        f"example {i}" if files is None else str(files[i]) for i in range(len(labels))
    ]
    return Examples(names, images, labels)


def _heading(
    found: Examples,
    number: int,
    logits: np.ndarray,
    trained: TrainedModel,
    names: Sequence[str],
) -> str:
    """Name, label and prediction of an example."""
    described = trained.description
    parts = [printable(found.names[number])]
    if found.labels is not None:
        parts.append(f"label {label_text(found.labels[number], names, described.task)}")
    predicted = predicted_text(logits, described, names)
    return ", ".join([*parts, f"predicted {predicted}"])


def _draw_maps(
    title: str,
    found: Examples,
    headings: Sequence[str],
    maps: Explanations,
    names: Sequence[str],
) -> Any:
    examples = []
    integrated = maps.integrated
    for number, heading in enumerate(headings):
        black = "a black image" if found.images.ndim > 3 else "an input of zeros"
        text = (
            f"Maps of the logit of {names[int(maps.classes[number])]}. Integrated"
            f" gradients sum to {integrated.sums[number]:.4g}; the logit differs by"
            f" {integrated.differences[number]:.4g} from that of {black}."
        )
        example = ImportanceMaps(
            heading,
            text,
            found.images[number],
            maps.saliency[number],
            {name: cam[number] for name, cam in maps.grad_cam.items()},
            integrated.values[number].sum(axis=-1),
        )
        examples.append(example)
    return draw_importance(title, examples)


def _feature_maps(
    trained: TrainedModel, x: Any, headings: Sequence[str], layers: Sequence[str]
) -> list[FeatureMaps]:
    @jax.jit
    def outputs(variables, x):
        with configured(trained.config):
            found = layer_outputs(trained.model, variables, x)[1]
        return {name: found[name].astype(np.float32) for name in layers}

    values = jax.device_get(outputs(trained.variables, x))
    return [
        FeatureMaps(f"{name}: {headings[number]}", values[name][number])
        for number in range(len(x))
        for name in layers
    ]


def _write_examples(
    path: Path, found: Examples, maps: Explanations, logits: Any, trained: TrainedModel
) -> None:
    described = trained.description
    head = ["example", "label", "predicted", "explained"]
    head += ["logit_difference", "integrated_sum", "relative_error"]
    task, names = described.task, described.names
    rows = [
        [
            name,
            "" if found.labels is None else label_text(found.labels[i], names, task),
            predicted_text(logits[i], described, names),
            names[int(maps.classes[i])],
            float(maps.integrated.differences[i]),
            float(maps.integrated.sums[i]),
            float(maps.errors[i]),
        ]
        for i, name in enumerate(found.names)
    ]
    write_table(path, [head, *rows])


def describe_errors(maps: Explanations, steps: int) -> str:
    """How complete the integrated gradients are, in one line."""
    complete = int((maps.errors <= TOLERANCE).sum())
    hint = f"; try --integration-steps={4 * steps}"
    if complete == len(maps.errors):
        hint = ""
    return (
        f"integrated gradients in {steps} steps from black: the sum equals the"
        f" difference of the logits within {TOLERANCE:.0%} for {complete} of"
        f" {len(maps.errors)} images; median error {np.median(maps.errors):.2%},"
        f" largest {maps.errors.max():.2%}{hint}"
    )


def _layer_cells(row: LayerStatistics) -> list[Any]:
    return ["x".join(map(str, x)) if isinstance(x, tuple) else x for x in row]


def _layer_lines(table: Sequence[LayerStatistics]) -> list[str]:
    """The table for the terminal."""
    head = ["layer", "output", "mean", "std", "zeros", "dead", "largest", "gradient"]
    cells = [head]
    for row in table:
        numbers = [f"{x:.3g}" for x in (row.mean, row.std)]
        numbers += [f"{row.zeros:.1%}", f"{row.dead} of {row.units}"]
        numbers += [f"{x:.3g}" for x in (row.largest, row.gradient_norm)]
        cells.append([printable(row.layer), "x".join(map(str, row.shape)), *numbers])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            f"{cell:<{w}}" if i < 2 else f"{cell:>{w}}"
            for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    ]
