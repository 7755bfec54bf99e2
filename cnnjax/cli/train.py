"""``cnnjax train``: trains a network from a config file, or resumes its training."""

import argparse
import contextlib
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnjax import streams
from cnnjax.cli.start_jax import load_jax
from cnnjax.config import Config, flatten
from cnnjax.config.files import load_config
from cnnjax.errors import ConfigError, Interrupted

_STEPS = re.compile(r"(\d{1,12}):(\d{1,12})", re.ASCII)


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command's arguments."""
    train = commands.add_parser(
        "train",
        help="train a network from a config file",
        description="Train a network from a config file. If the run is stopped or"
        " killed, running the same command again continues where it left off.",
        epilog="Any setting can be changed, as in"
        " --config.optimizer.learning_rate=0.05; 'cnnjax config' lists them all.",
    )
    train.add_argument(
        "--config", required=True, metavar="FILE", help="such as configs/digits.py"
    )
    train.add_argument(
        "--workdir",
        metavar="DIR",
        help="folder for all output; default: runs/NAME for configs/NAME.py",
    )
    train.add_argument(
        "--resume",
        default="auto",
        metavar="auto|never|DIR",
        help="auto (default): resume the run in the working directory if there is one;"
        " never: refuse to; DIR: start a new run from the state of the run in DIR",
    )
    train.add_argument(
        "--profile",
        metavar="START:STOP",
        help="trace these steps (STOP excluded) for TensorBoard or Perfetto, into the"
        " folder profile in the working directory",
    )
    many = train.add_argument_group(
        "several processes", "detected automatically under Slurm and mpirun"
    )
    many.add_argument("--coordinator", metavar="HOST:PORT", help="address of process 0")
    many.add_argument(
        "--num_processes", type=int, metavar="N", help="how many processes there are"
    )
    many.add_argument(
        "--process_id", type=int, metavar="I", help="which one this is, from 0"
    )
    return train


def run(args: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Trains in this process, which may be one of several of the run."""
    from cnnjax.train.machine.launch import Launch, find_launch

    launch = find_launch(Launch(args.coordinator, args.num_processes, args.process_id))
    try:
        config = load_config(args.config, overrides)
        steps = _parse_steps(args.profile)
    except ConfigError as error:
        if launch.num_processes != 1:  # the others would wait for this process
            streams.tell_error(error)
            from cnnjax.train.machine import processes

            processes.refuse(launch, str(error))
            return 2
        raise
    workdir = Path(args.workdir or Path("runs") / Path(args.config).stem)
    load_jax(deterministic=config.deterministic)
    from cnnjax.train.machine.processes import join
    from cnnjax.train.machine.shutdown import leave_together

    join(launch)
    with streams.lasting_output(), leave_together():
        return _train(config, workdir, args.resume, steps)


def _parse_steps(text: str | None) -> range:
    """The steps that ``--profile=START:STOP`` names, as in Python: without ``STOP``.

    Raises:
        ConfigError: something else, or no step.
    """
    if text is None:
        return range(0)
    found = _STEPS.fullmatch(text)
    steps = range(*map(int, found.groups())) if found else range(0)
    if not steps or steps.start < 1:
        raise ConfigError(
            f"--profile is {text!r}, expected START:STOP with 1 <= START < STOP, such"
            " as 100:110 for the ten steps from 100 to 109"
        )
    return steps


def _train(config: Config, workdir: Path, resume: str, profile: range) -> int:
    from cnnjax.inference.run_report import report_at_end
    from cnnjax.report import make_reporter
    from cnnjax.train.run.loop import train

    reporter = make_reporter(workdir, config.report, dict(flatten(config.to_dict())))
    try:
        ended = train(config, workdir, reporter, resume, profile=profile)
        test = ended.test
        result = f"loss {test.loss:.4g}"
        if test.accuracy is not None:
            result = f"accuracy {test.accuracy:.2%}"
        reporter.message(f"test {result} ({test.examples:,} {test.unit})")
        if (path := report_at_end(ended, reporter.message)) is not None:
            reporter.message(f"report: {path}")
        else:
            reporter.message(f"for a report: cnnjax report {shlex.quote(str(workdir))}")
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
