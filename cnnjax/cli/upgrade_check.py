"""``cnnjax upgrade-check``: steps of a run again, compared with what it recorded."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnjax.cli.start_jax import start_jax_as
from cnnjax.errors import ConfigError
from cnnjax.files import check_folder_of


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command's arguments."""
    check = commands.add_parser(
        "upgrade-check",
        help="repeat steps of a run here and compare them with what it recorded",
        description="Take steps of a trained run again with the versions and devices"
        " that are here, and compare the losses and states with those that the run"
        " recorded, layer by layer. The run itself is not changed. The exit status is 1"
        " if anything differs.",
    )
    check.add_argument(
        "--workdir", required=True, metavar="DIR", help="working directory of the run"
    )
    check.add_argument(
        "--steps",
        type=int,
        metavar="K",
        help="how many steps; default: up to the next checkpoint",
    )
    check.add_argument(
        "--from-step",
        type=int,
        metavar="N",
        help="start at the checkpoint of this step, 0 for the initial weights; default:"
        " the newest checkpoint that has a later one, else 0",
    )
    check.add_argument(
        "--backend",
        choices=("auto", "native", "xla"),
        help="what computes on a CPU here; default: the backend of the run",
    )
    check.add_argument("--json", metavar="FILE", help="write the values to a file")
    return check


def run(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Prints what differs; 1 if anything does."""
    if args.json:
        check_folder_of(args.json)
    start_jax_as(args.workdir)
    from cnnjax.report.upgrade_lines import upgrade_lines, upgrade_values
    from cnnjax.report.work import work_shown
    from cnnjax.train.run.upgrade_check import upgrade_check
    from cnnjax.train.run.workdir import find_run

    folder = find_run(args.workdir, "--workdir").folder
    with work_shown():
        check = upgrade_check(
            args.workdir,
            _logged_losses(folder),
            steps=args.steps,
            from_step=args.from_step,
            backend=args.backend,
        )
    print("\n".join(upgrade_lines(check)))
    if args.json:
        text = json.dumps(upgrade_values(check), indent=2, allow_nan=False)
        Path(args.json).write_text(text + "\n")
    return 0 if check.first_departure is None else 1


def _logged_losses(folder: Path) -> dict[int, float]:
    """The training losses in the run's ``metrics.jsonl``, by step; none without it."""
    from cnnjax.report import read_metrics
    from cnnjax.report.reporters import METRICS

    try:
        records = read_metrics(folder / METRICS)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return {
        record["step"]: float(record["loss"])
        for record in records
        if record.get("kind") == "train"
        and type(record.get("step")) is int
        and isinstance(record.get("loss"), int | float)
    }
