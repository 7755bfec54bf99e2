"""``cnnjax report``: writes one HTML file about one run, or about several."""

import argparse
from collections.abc import Mapping
from typing import Any

from cnnjax.cli.start_jax import start_jax
from cnnjax.errors import ConfigError
from cnnjax.files import check_folder_of
from cnnjax.streams import printable


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command's arguments."""
    report = commands.add_parser(
        "report",
        help="write an HTML report of one run, or of several side by side",
        description="Write one HTML file about a run: results, curves, confusion"
        " matrix, mistakes and likely wrong labels as pictures, filters, feature maps,"
        " settings. With several runs: curves, results and settings side by side, and"
        " whether their accuracies differ by more than chance. The file needs no"
        " network. The test split is evaluated once.",
    )
    report.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="working directory of a run, or one of its checkpoints",
    )
    report.add_argument(
        "--out",
        metavar="FILE.html",
        help="the file to write; default: report.html in the working directory of the"
        " run, or for several runs in the current folder",
    )
    return report


def run(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Writes the report and prints its path."""
    if args.out is not None:
        if not args.out.endswith((".html", ".htm")):
            raise ConfigError(
                f"--out is {args.out!r}, expected a name that ends with .html"
            )
        check_folder_of(args.out)
    start_jax()
    from cnnjax.inference.run_report import write_report
    from cnnjax.report.work import work_shown

    with work_shown():
        path = write_report(args.runs, args.out)
    print(printable(path))
    return 0
