"""``cnnjax sweep``: trains a config with many values of some settings."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnjax import streams
from cnnjax.cli.start_jax import load_jax
from cnnjax.errors import ConfigError


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command's arguments."""
    sweep = commands.add_parser(
        "sweep",
        help="train a config with many values of some settings, and compare the runs",
        description="Train one run for each combination of some settings, and list the"
        " runs, the best first. If the sweep is stopped or killed, running the same"
        " command again continues where it left off; with longer lists, only the new"
        " runs are trained.",
        epilog="Example: cnnjax sweep --config=configs/digits.py --set"
        " optimizer.learning_rate=1e-3,3e-3,1e-2 --set seed=0:3",
    )
    sweep.add_argument(
        "--config", required=True, metavar="FILE", help="such as configs/digits.py"
    )
    sweep.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUES",
        help="a setting and its values: A,B,C or, for whole numbers, START:STOP"
        " (STOP excluded); with --search also LOW..HIGH or LOW..HIGH:log",
    )
    sweep.add_argument(
        "--workdir",
        metavar="DIR",
        help="folder with one folder per run; default: runs/NAME_sweep for"
        " configs/NAME.py",
    )
    sweep.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="how many runs train at a time, each on a GPU of its own if there are"
        " GPUs; default: 1",
    )
    sweep.add_argument(
        "--list",
        action="store_true",
        help="print the runs with their numbers and states, and train nothing",
    )
    search = sweep.add_argument_group(
        "search", "Optuna proposes the values (pip install 'cnnjax[sweep]')"
    )
    search.add_argument(
        "--search",
        choices=("random", "tpe"),
        help="random values, or tpe: values near good ones (tree-structured Parzen"
        " estimator)",
    )
    search.add_argument("--trials", type=int, metavar="N", help="total number of runs")
    search.add_argument(
        "--search-seed",
        type=int,
        default=0,
        metavar="N",
        help="random seed of the proposals; default: 0",
    )
    search.add_argument(
        "--no-pruning",
        action="store_true",
        help="finish runs even if their validations are worse than the median of the"
        " others",
    )
    sweep.add_argument(
        "--only",
        type=int,
        metavar="I",
        help="train only run number I, for example in a Slurm job array",
    )
    return sweep


def run(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Trains the runs and prints the table; 1 if a run is not finished."""
    if args.jobs < 1:
        raise ConfigError(f"--jobs is {args.jobs}, expected 1 or more")
    _check_search(args)
    load_jax()
    import jax

    # This process only plans; the memory of GPUs is for the runs.
    jax.config.update("jax_platforms", "cpu")
    from cnnjax.sweep import command

    folder = Path(args.workdir or Path("runs") / f"{Path(args.config).stem}_sweep")
    request = command.Request(args.config, overrides, args.set, folder, args.jobs)
    if args.only is not None:
        command.become(request, args.only)
    with streams.lasting_output():
        if args.search:
            from cnnjax.sweep.proposals import Method
            from cnnjax.sweep.search import search

            prunes = not args.no_pruning
            method = Method(args.search, args.trials, args.search_seed, prunes)
            return search(request, method, _tell)
        if args.list:
            return command.list_grid(request, _tell)
        return command.sweep_grid(request, _tell)


def _check_search(args: argparse.Namespace) -> None:
    """Refuses arguments that do not go together.

    Raises:
        ConfigError: with what to do.
    """
    if not args.search:
        if args.trials is not None:
            raise ConfigError("--trials needs --search=random or --search=tpe")
        return
    if args.trials is None or args.trials < 1:
        raise ConfigError(
            f"--trials is {args.trials}, expected 1 or more, the total number of"
            " runs that --search trains"
        )
    if not 0 <= args.search_seed < 2**32:
        raise ConfigError(
            f"--search-seed is {args.search_seed}, expected a whole number from 0 to"
            " 4294967295"
        )
    if args.list or args.only is not None:
        raise ConfigError(
            "--list and --only are for grids, whose runs are known before they start;"
            " remove them, or remove --search"
        )


def _tell(text: str) -> None:
    print(text, flush=True)
