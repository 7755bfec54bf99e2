"""The command ``cnnjax compare``: what to compare, and where to write the result."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cnnjax.compare.grid import compare_ops
from cnnjax.compare.model import compare_problem, make_problem, time_problem
from cnnjax.compare.page import page
from cnnjax.compare.table import Section, lines, values
from cnnjax.config import Config


class Request(NamedTuple):
    """What to compare and where to write it.

    Attributes:
        config: the run whose network is compared; ``None`` for operations only.
        ops: names of the operations to compare; empty for all.
        checkpoint: the working directory of a trained run of ``config``, or one of its
            checkpoints.
        timing: whether to time the network's gradients.
        json: file for the values.
        html: file for a page.
    """

    config: Config | None
    ops: Sequence[str] = ()
    checkpoint: str | None = None
    timing: bool = False
    json: str | None = None
    html: str | None = None


def run(request: Request) -> bool:
    """Compares, prints and writes.

    Returns:
        Whether every gradient is right.
    """
    sections: list[Section] = []
    timing = None
    if request.config:
        problem = make_problem(request.config, request.checkpoint)
        title = f"network {request.config.model.name} on {request.config.data.source}"
        sections.append((title, compare_problem(problem).rows))
        timing = time_problem(problem) if request.timing else None
    sections.append(("operations", list(_op_rows(request.ops))))
    print("\n".join(lines(sections, timing)))
    tree = values(sections, timing)
    if request.json:
        Path(request.json).write_text(json.dumps(tree, indent=2) + "\n")
    if request.html:
        Path(request.html).write_text(page("Gradients", sections, timing))
    return tree["ok"]


def _op_rows(ops) -> Iterator:
    for case, comparison in compare_ops(ops):
        for row in comparison.rows:
            argument = case.arguments[int(row.name)]
            yield row._replace(name=f"{case.op} ({case.what}) {argument}")
