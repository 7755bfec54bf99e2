"""``cnnjax replay``: any past step of a run again."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnjax.cli.start_jax import start_jax_as
from cnnjax.files import check_folder_of


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command's arguments."""
    replay = commands.add_parser(
        "replay",
        help="repeat a past step of a run and show what each example did",
        description="Rebuild the state, batch, crops and dropout of any past"
        " step of a run, from the checkpoint before it, and write the images as the"
        " network saw them, with the loss and the gradient norm of each example and"
        " the gradients of each layer. The run itself is not changed.",
    )
    replay.add_argument(
        "--workdir", required=True, metavar="DIR", help="working directory of the run"
    )
    replay.add_argument(
        "--step", required=True, type=int, metavar="N", help="step to repeat, from 1"
    )
    replay.add_argument(
        "--out",
        metavar="DIR",
        help="folder to write to; default: replay/N in the working directory",
    )
    replay.add_argument(
        "--compare",
        action="store_true",
        help="compare the step's hand-written gradients with autodiff, too",
    )
    return replay


def run(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Replays the step, and prints what it found."""
    folder = Path(args.out or Path(args.workdir) / "replay" / str(args.step))
    if args.out:
        check_folder_of(folder)
    start_jax_as(args.workdir)
    from cnnjax.report.replay_files import describe_replay, write_replay
    from cnnjax.report.work import work_shown
    from cnnjax.train.run.replay import replay

    with work_shown():
        replayed = replay(args.workdir, args.step)
    write_replay(replayed, folder)
    print("\n".join(describe_replay(replayed, folder)))
    if not args.compare:
        return 0
    from cnnjax.compare.model import compare_problem, problem_of_step
    from cnnjax.compare.table import lines, values

    comparison = compare_problem(problem_of_step(replayed))
    sections = [(f"gradients of step {args.step}", comparison.rows)]
    print("\n".join(lines(sections, None)))
    return 0 if values(sections, None)["ok"] else 1
