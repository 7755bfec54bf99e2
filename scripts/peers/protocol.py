"""The worker's side: it builds a network, and takes steps when the driver asks.

Both sides send lines of JSON. The worker reports once that it is ready. Then it reads
numbers of steps, and replies to each with the seconds of every step. It exits when its
input ends.
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

WARM_UP_STEPS = 3
WAKE_UP_SECONDS = 0.3


class Task(NamedTuple):
    """What a worker should do.

    Attributes:
        network: a key of ``NETWORKS``.
        image: ``(height, width, channels)``.
        batch: images per step.
        threads: number of compute threads.
        inference: whether to compute only the logits.
        options: options of the framework, such as ``{"layout": "channels-last"}``.
    """

    network: str
    image: list
    batch: int
    threads: int
    inference: bool
    options: dict


class Ready(NamedTuple):
    """A worker's network: a step that waits for its result, and facts to report."""

    step: Callable[[], Any]
    parameters: int
    versions: dict


def serve(make: Callable[[Task], Ready]) -> None:
    """Runs a worker, whose task is the program's first argument.

    Args:
        make: imports the framework and builds the step.
    """
    channel = _take_output()
    task = Task(**json.loads(sys.argv[1]))
    cores = sorted(os.sched_getaffinity(0))[: task.threads]
    os.sched_setaffinity(0, cores)  # before any framework counts them
    begin = time.perf_counter()
    ready = make(task)
    ready.step()
    seconds = time.perf_counter() - begin
    for _ in range(WARM_UP_STEPS):
        ready.step()
    _tell(
        channel,
        {
            "parameters": ready.parameters,
            "versions": ready.versions,
            "start_seconds": seconds,
        },
    )
    for line in sys.stdin:
        _wake_up(ready.step)
        _tell(channel, [_seconds(ready.step) for _ in range(int(line))])


def pixels(task: Task) -> list:
    """The numbers of random images, the same in each framework."""
    draw = random.Random(0)
    height, width, channels = task.image
    count = task.batch * height * width * channels
    return [draw.gauss(0, 1) for _ in range(count)]


def labels(task: Task, classes: int) -> list:
    """A class for each image."""
    draw = random.Random(1)
    return [draw.randrange(classes) for _ in range(task.batch)]


def _take_output():
    """Standard output for the protocol alone; what libraries print goes to the log."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return channel


def _tell(channel, value) -> None:
    channel.write(json.dumps(value) + "\n")
    channel.flush()


def _wake_up(step) -> None:
    """Steps before those that count: caches and cores are cold after others' turns."""
    begin = time.perf_counter()
    while time.perf_counter() - begin < WAKE_UP_SECONDS:
        step()


def _seconds(step) -> float:
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin
