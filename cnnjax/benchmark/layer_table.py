"""The layers of a network as values for JSON and as lines for people."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from cnnjax.benchmark.kinds import MAPS
from cnnjax.benchmark.layer_times import time_layer
from cnnjax.benchmark.layers import Layer, find_layers
from cnnjax.benchmark.steps import check_steps, describe, make_problem
from cnnjax.benchmark.table import headline
from cnnjax.config import Config
from cnnjax.native import library
from cnnjax.streams import printable
from cnnjax.train.run.training_step import rated_groups

NAMES = {name: name.replace("_", " ") for name in MAPS}
ELEMENT_WISE = {"keep": "dropout", "add_bias": "bias"}
LEGEND = (
    "Shapes are those of one device's share of a batch. A multiply-add is one term of"
    " the forward map's sums of products; each gradient has as many."
)
TIMES = (
    " A time is the median of {steps} calls of this map alone, with the bias and the"
    " ReLU that are part of the call; a training step takes less where XLA runs maps"
    " side by side or fuses them with their neighbors."
)


def benchmark_layers(config: Config, steps: int | None) -> dict[str, Any]:
    """The layers of the network of ``config`` as values for JSON.

    Args:
        config: checked settings.
        steps: how many calls of each map are timed; ``None`` times nothing.

    Raises:
        ConfigError: fewer than one step, or settings that cannot be.
        DataError: data that cannot be read.
    """
    if steps is not None:
        check_steps(steps)
    problem = make_problem(config)
    layers, others = find_layers(problem)
    rows = [
        _values(layer, time_layer(layer, steps, config.gradients) if steps else {})
        for layer in layers
    ]
    return {
        **describe(problem),
        "cpu_kernels": library.describe(),
        "accumulate_steps": config.accumulate_steps,
        "timed_calls": steps,
        "layers": rows,
        "learning_rates": [
            {"factor": factor, "layers": list(group.layers)}
            for factor, group in rated_groups(problem.config, problem.experiment)
        ],
        "element_wise": {ELEMENT_WISE.get(k, k): n for k, n in others.items()},
    }


def _values(layer: Layer, milliseconds: Mapping[str, float]) -> dict[str, Any]:
    maps = {
        name: {**choice._asdict(), "milliseconds": milliseconds.get(name)}
        if choice
        else None
        for name, choice in layer.choices.items()
    }
    return {
        "name": layer.name,
        "kind": layer.title,
        "input_shape": list(layer.input_shape),
        "output_shape": list(layer.output_shape),
        "parameters": layer.parameters,
        "multiply_adds": layer.multiply_adds,
        "maps": maps,
    }


def layer_lines(values: Mapping[str, Any], width: int) -> str:
    """What ``benchmark_layers`` found, for a terminal of ``width`` columns."""
    steps = values["timed_calls"]
    kernels = f"CPU kernels: {values['cpu_kernels']}"
    found = [*_wrap(headline(values), width), *_wrap(kernels, width), ""]
    for layer in values["layers"]:
        found += [*_layer(layer, width, bool(steps)), ""]
    found += [*_summary(values, width), ""]
    if values["learning_rates"]:
        found += [*_rates(values["learning_rates"], width), ""]
    found += _wrap(
        LEGEND + (TIMES.format(steps=steps) if steps else ""), width, rest=""
    )
    return "\n".join(line.rstrip() for line in found)


def _layer(layer: Mapping[str, Any], width: int, timed: bool) -> Iterator[str]:
    yield from _wrap(f"{layer['name']}: {layer['kind']}", width)
    shapes = " to ".join(
        "x".join(map(str, layer[side])) for side in ("input_shape", "output_shape")
    )
    counts = [
        f"{layer[name]:,} {name.replace('_', '-')}"
        for name in ("parameters", "multiply_adds")
        if layer[name]
    ]
    yield from _wrap(", ".join([shapes, *counts]), width, "  ")
    rows = {name: row for name, row in layer["maps"].items() if row}
    longest = max(len(row["implementation"]) for row in rows.values())
    before = None
    for name, row in rows.items():
        time = f"{row['milliseconds']:9.3f} ms  " if timed else ""
        head = f"  {NAMES[name]:<17}{time}{row['implementation']:<{longest}}  "
        reason = "the same reason" if row["reason"] == before else row["reason"]
        yield from _wrap(head + reason, width, rest=" " * len(head))
        before = row["reason"]
    if not layer["maps"]["input_gradient"]:
        yield "  no input gradient: nothing before this layer is trained"


def _summary(values: Mapping[str, Any], width: int) -> Iterator[str]:
    layers, steps = values["layers"], values["timed_calls"]
    text = (
        f"{len(layers)} layers, {sum(row['multiply_adds'] for row in layers):,}"
        " multiply-adds forward"
    )
    if steps:
        sums = {name: _sum(layers, name) for name in MAPS}
        text += "; " + ", ".join(f"{NAMES[n]} {ms:.2f} ms" for n, ms in sums.items())
    yield from _wrap(text + ".", width)
    others = [f"{n} {name}" for name, n in values["element_wise"].items()]
    if others:
        yield from _wrap(f"Element-wise, not shown: {', '.join(others)}.", width)
    if values["accumulate_steps"] > 1:
        parts = values["accumulate_steps"]
        text = f"A step runs these layers {parts} times, once for each part."
        yield from _wrap(text, width)


def _rates(groups: list[Mapping[str, Any]], width: int) -> Iterator[str]:
    yield "Factors of the learning rate (optimizer.layer_decay):"
    for group in reversed(groups):
        head = f"  {group['factor']:<9.3g}"
        layers = ", ".join(group["layers"])
        yield from _wrap(head + layers, width, rest=" " * len(head))


def _sum(layers, name: str) -> float:
    return sum(row["maps"][name]["milliseconds"] for row in layers if row["maps"][name])


def _wrap(text: str, width: int, first: str = "", rest: str | None = None) -> list[str]:
    return textwrap.wrap(
        printable(text),
        max(width, 40),
        initial_indent=first,
        subsequent_indent=f"{first}  " if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
