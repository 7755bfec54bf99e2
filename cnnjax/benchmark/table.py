"""The measurements of ``cnnjax benchmark`` as a table for people."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from cnnjax.streams import printable

LEGEND = """\
GFLOP: the products in convolutions and dense layers, each counted as one multiplication
and one addition; the backward pass counts twice the forward pass, except for the
gradient of the images.
Share: of the speed of a large float32 matrix product in the same run. Memory: the
arguments, results and temporaries of the compiled program."""


def benchmark_table(values: Mapping[str, Any]) -> Group:
    """One benchmark, for rich to print.

    Args:
        values: from ``cnnjax.benchmark.steps.benchmark``.
    """
    table = Table(box=box.SIMPLE)
    table.add_column("")
    sides = [values["training"], values["inference"]]
    for name in ("training step", "inference step"):
        table.add_column(name, justify="right")
    training, inference = map(_texts, sides)
    for label, text in training.items():
        table.add_row(label, text, inference[label])
    title = Text(printable(headline(values)))  # names in it are not markup
    return Group(title, table, _caption(values), "", LEGEND)


def headline(values: Mapping[str, Any]) -> str:
    """One sentence: the network, its data and the machine."""
    shape = "x".join(map(str, values["image_shape"]))
    many = f"{values['devices']} x " if values["devices"] > 1 else ""
    return (
        f"{values['model']}, {values['parameters']:,} parameters, batch"
        f" {values['batch_size']:,} of {shape} on {many}{values['device']},"
        f" {values['cores']} cores, backend {values['backend']}"
    )


def _caption(values: Mapping[str, Any]) -> str:
    return (
        f"Matrix product: {values['product_peak_gflop_per_second']:,.0f} GFLOP/s. Peak"
        f" memory of the process: {_size(values['process_peak_bytes'])}."
    )


def _texts(side: Mapping[str, Any]) -> dict[str, str]:
    low, high = side["step_seconds_quartiles"]
    return {
        "compiled in": f"{side['compile_seconds']:.2f} s",
        f"median of {side['steps']}": _milliseconds(side["step_seconds"]),
        "least": _milliseconds(side["step_seconds_min"]),
        "middle half": f"{low * 1e3:.2f} to {_milliseconds(high)}",
        "images/s": f"{side['images_per_second']:,.0f}",
        "GFLOP": f"{side['gflop']:,.2f}",
        "GFLOP/s": f"{side['gflop_per_second']:,.1f}",
        "share": f"{side['share_of_product_peak']:.0%}",
        "memory": _size(side["memory_bytes"]),
    }


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"


def _size(count: int | None) -> str:
    return "unknown" if count is None else f"{count / 1e6:,.1f} MB"
