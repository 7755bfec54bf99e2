"""The command line: ``cnnjax train``, ``evaluate``, ``compare``, and others."""

import argparse
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from cnnjax import __version__, streams
from cnnjax.config.files import load_config
from cnnjax.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    Interrupted,
    NoKernels,
    NonFiniteLossError,
    show,
)
from cnnjax.files import expand_path
from cnnjax.process import end_with, keep_freed_memory
from cnnjax.streams import printable

OVERRIDE = re.compile(r"--config\.([^=]+)(?:=(.*))?", re.DOTALL)
FAILED, USAGE = 1, 2
INPUT_ERRORS = (ConfigError, DataError, NoKernels)  # exit status 2
RUN_ERRORS = (CheckpointError, NonFiniteLossError, OSError)  # exit status 1
LONGEST_STEP = 18  # digits
PATHS = ("config", "workdir", "resume", "checkpoint", "json", "html")


def run() -> NoReturn:
    """Runs the command that this process was started with, as ``main``, and ends it.

    Until a training loop watches for it, Ctrl-C ends the process at once: Python's
    exception would meet libraries in the middle of being loaded. Memory is kept from
    step to step (see ``cnnjax.process``), and output that nobody reads does not end it
    (see ``cnnjax.streams``).
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    streams.use_utf8()
    streams.prepare()
    keep_freed_memory()
    end_with(main)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the words after the program's name; by default those it was called with.

    Returns:
        The exit status: 0, 1 for a run that failed, 2 for input that cannot be, 128
        plus its number for a signal.
    """
    parser = _make_parser()
    try:
        overrides, words = _split(sys.argv[1:] if argv is None else argv)
    except ConfigError as error:
        return _refuse(error, USAGE)
    args = parser.parse_args(words)
    if overrides and not getattr(args, "config", None):
        parser.error("--config.KEY=VALUE goes with --config=FILE")
    try:
        _expand_paths(args)
        status = args.run(args, overrides)
        sys.stdout.flush()
        return status
    except INPUT_ERRORS as error:
        return _refuse(error, USAGE)
    except BrokenPipeError:  # whoever read the output has gone
        return FAILED
    except RUN_ERRORS as error:
        return _refuse(error, FAILED)


class _Parser(argparse.ArgumentParser):
    """A parser that shows control characters in words escaped when it refuses them."""

    def error(self, message: str) -> NoReturn:
        """Refuses the command line."""
        super().error(printable(message))


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="cnnjax", description="Train CNNs in JAX.")
    parser.add_argument("--version", action="version", version=f"cnnjax {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    train = commands.add_parser(
        "train",
        help="train a network as a config file says",
        description="Train a network as a config file says.",
        epilog="Every setting can be changed: --config.optimizer.learning_rate=0.05."
        " The settings and their units are in docs/configuration.md.",
    )
    train.add_argument("--config", required=True, help="a file, as configs/digits.py")
    train.add_argument("--workdir", help="folder for all output; default: runs/NAME")
    train.add_argument(
        "--resume",
        default="auto",
        metavar="auto|never|DIR",
        help="auto: resume an existing run; never: refuse to; DIR: begin a new run from"
        " the state of the run in DIR",
    )
    _add_processes(train)
    train.set_defaults(run=_train)
    evaluate = commands.add_parser(
        "evaluate",
        help="score a trained run",
        description="Score a trained run on one of its splits, each example once.",
    )
    evaluate.add_argument("--workdir", required=True, help="folder of the run")
    evaluate.add_argument(
        "--split", default="test", choices=("train", "validation", "test")
    )
    evaluate.add_argument(
        "--step",
        metavar="best|last|N",
        help="which saved state; default: the one with which training ended",
    )
    evaluate.set_defaults(run=_evaluate)
    _add_verify(commands)
    _add_compare(commands)
    _add_benchmark(commands)
    info = commands.add_parser(
        "info",
        help="versions, devices, backend and caches",
        description="Print versions, devices, the backend in use, and cache folders.",
    )
    info.set_defaults(run=_info)
    return parser


def _add_processes(train) -> None:
    many = train.add_argument_group(
        "many processes", "not needed under Slurm or mpirun, which say it themselves"
    )
    many.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0")
    many.add_argument("--num_processes", type=int, metavar="N")
    many.add_argument("--process_id", type=int, metavar="I", help="from 0")


def _add_verify(commands) -> None:
    verify = commands.add_parser(
        "verify-resume",
        help="prove that a resumed run is the same run",
        description="Train a short run whole, and once more in pieces that are killed"
        " and resumed; compare the states after every step, bit for bit. The exit"
        " status is 1 when one differs.",
    )
    verify.add_argument("--config", required=True, help="a file, as configs/digits.py")
    verify.add_argument("--steps", type=int, default=30, help="length of the run")
    verify.add_argument("--pieces", type=int, default=3, help="parts of the second run")
    verify.set_defaults(run=_verify_resume)


def _add_compare(commands) -> None:
    compare = commands.add_parser(
        "compare",
        help="compare hand-written gradients with autodiff",
        description="Compare each hand-written gradient with jax.grad of the stock"
        " operations, with a float64 run and with finite differences. The exit status"
        " is 1 when one is off.",
    )
    what = compare.add_mutually_exclusive_group(required=True)
    what.add_argument("--config", help="also compare this run's network on its data")
    what.add_argument(
        "--ops", nargs="*", metavar="OP", help="operations alone: all, or those named"
    )
    compare.add_argument(
        "--checkpoint", help="a trained run's workdir, or one of its checkpoints"
    )
    compare.add_argument("--timing", action="store_true", help="time both gradients")
    compare.add_argument("--json", help="file for the values")
    compare.add_argument("--html", help="file for a page to look at")
    compare.set_defaults(run=_compare)


def _add_benchmark(commands) -> None:
    benchmark = commands.add_parser(
        "benchmark",
        help="what a training and an inference step cost",
        description="Time the training step and the inference step of a config, and"
        " say what they take of the machine.",
    )
    benchmark.add_argument("--config", required=True, help="as configs/digits.py")
    benchmark.add_argument("--steps", type=int, default=20, help="timed, of each kind")
    benchmark.add_argument("--json", action="store_true", help="values, for machines")
    benchmark.set_defaults(run=_benchmark)


def _split(argv):
    """Takes the settings ``--config.KEY=VALUE`` out of the words."""
    overrides, words, rest = {}, [], iter(argv)
    for word in rest:
        match = OVERRIDE.fullmatch(word)
        if match is None:
            words.append(word)
            continue
        name, value = match.groups()
        value = next(rest, "--") if value is None else value
        if value.startswith("--"):
            raise ConfigError(
                f"--config.{name} has no value; write --config.{name}=..."
            )
        overrides[name] = value
    return overrides, words


def _expand_paths(args) -> None:
    """Replaces ``~`` by the home folder, and refuses an empty path."""
    for name in PATHS:
        value = getattr(args, name, None)
        if isinstance(value, str):
            expand_path(value, f"--{name}")  # a path would lose the "./" of "./auto"
            setattr(args, name, os.path.expanduser(value))


def _train(args, overrides) -> int:
    from cnnjax.train.machine.launch import Launch, find_launch

    launch = find_launch(Launch(args.coordinator, args.num_processes, args.process_id))
    try:
        config = load_config(args.config, overrides)
    except ConfigError as error:
        status = _refuse(error, USAGE)
        _tell_others(launch, error)
        return status
    workdir = Path(args.workdir or Path("runs") / Path(args.config).stem)
    _load_jax()
    from cnnjax.train.machine.processes import join
    from cnnjax.train.machine.shutdown import leave_together

    join(launch)
    with streams.lasting_output(), leave_together():
        return _train_here(config, workdir, args.resume)


def _tell_others(launch, error: ConfigError) -> None:
    """Ends the other processes of a run, too, which would wait for this one."""
    if launch.num_processes != 1:
        from cnnjax.train.machine import processes

        processes.refuse(launch, str(error))


def _load_jax() -> None:
    """Loads JAX, which reads its own settings from the environment.

    Raises:
        ConfigError: a setting that JAX refuses.
    """
    try:
        import jax  # noqa: F401
    except ValueError as error:
        raise ConfigError(f"JAX refuses the environment: {error}") from error


def _start_jax() -> None:
    """Loads JAX and lets it find its devices.

    Raises:
        ConfigError: it cannot.
    """
    _load_jax()
    from cnnjax.train.machine.platform import check_platform

    check_platform()


def _train_here(config, workdir, resume) -> int:
    """Trains in this process, one of all those of the run."""
    from cnnjax.train.run.run import train

    reporter = _make_reporter(workdir)
    try:
        test = train(config, workdir, reporter, resume).test
        reporter.message(
            f"test accuracy {test.accuracy:.2%} ({test.examples:,} examples)"
        )
        status = 0
    except Interrupted as stopped:
        reporter.message(str(stopped))
        status = stopped.status
    except BaseException:
        with contextlib.suppress(OSError):  # the error that ended the run matters
            reporter.close()
        raise
    reporter.close()
    return status


def _make_reporter(workdir):
    """Who is told of a run: the terminal and a file, and nobody but by process 0."""
    from cnnjax import report
    from cnnjax.train.machine.processes import is_first

    if not is_first():
        return report.Reporters()
    metrics = workdir / "metrics.jsonl"
    _check_metrics(metrics)
    terminal = report.make_terminal_reporter()
    return report.Reporters(terminal, report.MetricsFile(metrics, terminal.message))


def _check_metrics(path: Path) -> None:
    """Refuses a file that is no record of metrics before a run writes to it."""
    from cnnjax.report import check_records

    try:
        check_records(path)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise ConfigError(f"{error}; move the file away") from error


def _evaluate(args, overrides) -> int:
    step = args.step
    if step is not None and step not in ("best", "last"):
        if not (step.isascii() and step.isdecimal() and len(step) <= LONGEST_STEP):
            raise ConfigError(
                f"--step is {show(step)}, expected best, last or a number"
            )
        step = int(step)
    _start_jax()
    from cnnjax.train.run.trained import evaluate_step

    step, score = evaluate_step(args.workdir, args.split, step)
    print(json.dumps({"split": args.split, "step": step, **score._asdict()}))
    return 0


def _verify_resume(args, overrides) -> int:
    _start_jax()
    from cnnjax.report import Reporters
    from cnnjax.train.run.verify_resume import verify_resume

    same = verify_resume(
        args.config,
        overrides,
        steps=args.steps,
        pieces=args.pieces,
        reporter=Reporters(),
    )
    return 0 if same else FAILED


def _compare(args, overrides) -> int:
    config = load_config(args.config, overrides) if args.config else None
    for file in (args.json, args.html):
        if file and not Path(file).absolute().parent.is_dir():
            raise ConfigError(f"{file} cannot be written: its folder does not exist")
    if not config and (args.timing or args.checkpoint):
        raise ConfigError("--timing and --checkpoint go with --config")
    _start_jax()
    from cnnjax.compare.command import Request, run

    request = Request(
        config,
        ops=args.ops or (),
        checkpoint=args.checkpoint,
        timing=args.timing,
        json=args.json,
        html=args.html,
    )
    return 0 if run(request) else FAILED


def _benchmark(args, overrides) -> int:
    config = load_config(args.config, overrides)
    _start_jax()
    from cnnjax.benchmark.steps import benchmark
    from cnnjax.benchmark.table import benchmark_table

    values = benchmark(config, args.steps)
    if args.json:
        print(json.dumps(values, indent=2))
        return 0
    from rich.console import Console

    Console(highlight=False, markup=False, emoji=False).print(benchmark_table(values))
    return 0


def _info(args, overrides) -> int:
    _start_jax()
    from cnnjax.report.information import describe_installation
    from cnnjax.train.machine.compilation_cache import default_folder

    print(describe_installation(default_folder()))
    return 0


def _refuse(error: Exception, status: int) -> int:
    print(f"cnnjax: error: {printable(error)}", file=sys.stderr)
    return status


if __name__ == "__main__":
    run()
