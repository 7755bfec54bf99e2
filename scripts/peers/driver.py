"""Times one network in all frameworks, round by round, one worker at a time."""

import itertools
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from peers.environments import InstallationError, interpreter
from peers.protocol import Task
from peers.roster import PEERS
from peers.worker import Worker, WorkerError

PAUSE_SECONDS = 0.3  # because idle threads spin for a while


class Plan(NamedTuple):
    """How to run the workers.

    Attributes:
        frameworks: keys of ``PEERS``.
        rounds: number of turns of each framework.
        steps: number of steps in a turn.
        environments: folder of the virtual environments.
        logs: folder for the output of the frameworks.
        timeout_seconds: time limit for one reply of a worker.
        platform: what JAX computes on; the other frameworks compute on the CPU.
    """

    frameworks: list
    rounds: int
    steps: int
    environments: Path
    logs: Path
    timeout_seconds: float
    platform: str = "cpu"


class Outcome(NamedTuple):
    """Per framework: its report, its times per round, or why it failed.

    ``others`` is the fraction of the machine that other processes used in each turn.
    """

    told: dict
    rounds: dict
    others: dict
    failures: dict


def compare(plan: Plan, task: Task) -> Outcome:
    """Times ``task`` in each framework; one that fails drops out."""
    workers, outcome = {}, Outcome({}, {}, {}, {})
    try:
        for name in plan.frameworks:
            _start(plan, task, name, workers, outcome)
        _check_parameters(outcome)
        if len(set(map(_parameters, outcome.told.values()))) < 2:
            for number in range(plan.rounds):
                _one_round(plan, number, workers, outcome)
    finally:
        for worker in workers.values():
            worker.close()
    return outcome


def _start(plan, task, name, workers, outcome) -> None:
    """Starts a worker and waits until it is warm, so as not to disturb the next one."""
    peer = PEERS[name]
    log = plan.logs / f"{task.network}-{name}.log"
    try:
        python = interpreter(peer, plan.environments)
        task = task._replace(options=dict(peer.options))
        workers[name] = Worker(
            python, peer, task, log, plan.timeout_seconds, plan.platform
        )
        outcome.told[name] = workers[name].ready()
        outcome.rounds[name] = []
        outcome.others[name] = workers[name].others
    except (InstallationError, WorkerError, OSError) as error:
        _fail(name, error, workers, outcome)


def _one_round(plan, number, workers, outcome) -> None:
    """A turn for each worker; a different one starts each round."""
    names = list(workers)
    shift = number % max(1, len(names))
    for name in names[shift:] + names[:shift]:
        time.sleep(PAUSE_SECONDS)
        try:
            outcome.rounds[name].append(workers[name].take(plan.steps))
        except WorkerError as error:
            _fail(name, error, workers, outcome)


def _fail(name, error, workers, outcome) -> None:
    print(f"benchmark_peers: {name}: {error}", file=sys.stderr, flush=True)
    outcome.failures[name] = str(error)
    outcome.rounds.pop(name, None)
    if name in workers:
        workers.pop(name).close()


def _parameters(told) -> int:
    return told["parameters"]


def _check_parameters(outcome) -> None:
    """Networks with different numbers of parameters are not the same network."""
    counts = {name: _parameters(told) for name, told in outcome.told.items()}
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        text = f"the networks differ in their numbers of parameters: {each}"
        print(f"benchmark_peers: {text}", file=sys.stderr, flush=True)
        outcome.failures["parameters"] = text


def summarize(outcome: Outcome, batch: int, reference: str) -> dict:
    """The outcome as a tree for JSON.

    The ratio of a framework is its median divided by that of ``reference`` in the same
    round: above 1, the framework is slower.
    """
    medians = {
        name: [statistics.median(turn) for turn in turns]
        for name, turns in outcome.rounds.items()
        if turns
    }
    workers = {}
    for name, values in medians.items():
        seconds = list(itertools.chain.from_iterable(outcome.rounds[name]))
        workers[name] = {
            **outcome.told[name],
            "step_seconds": statistics.median(seconds),
            "step_seconds_min": min(seconds),
            "images_per_second": batch / statistics.median(seconds),
            "rounds": outcome.rounds[name],
            "others": outcome.others[name],
            "ratio": _ratio(values, medians.get(reference)),
        }
    return {"workers": workers, "failures": outcome.failures}


def _ratio(values, base) -> Mapping | None:
    if base is None:
        return None
    ratios = [a / b for a, b in zip(values, base, strict=True)]
    return {
        "median": statistics.median(ratios),
        "min": min(ratios),
        "max": max(ratios),
    }
