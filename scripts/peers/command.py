"""The command line of ``scripts/benchmark_peers.py``."""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

from peers.driver import Plan, compare, summarize
from peers.machine import describe_machine
from peers.networks import NETWORKS
from peers.protocol import Task
from peers.roster import OURS, PEERS
from peers.table import markdown


def main(argv: list | None = None) -> int:
    """Compares; the exit status is 1 if a framework failed."""
    argv = sys.argv[1:] if argv is None else argv
    args = _parse(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    report = {
        "command": shlex.join(["scripts/benchmark_peers.py", *_without_folders(argv)]),
        "machine": describe_machine(),
        "threads": args.threads,
        "rounds": args.rounds,
        "steps": args.steps,
        "networks": {},
    }
    for name in args.networks:
        report["networks"][name] = _compare(args, name)
        # After each network: a long run that is cut short leaves what it has.
        (args.out / "peers.json").write_text(json.dumps(report, indent=2) + "\n")
        (args.out / "peers.md").write_text(markdown(report))
    print(markdown(report), end="")
    return int(any(found["failures"] for found in report["networks"].values()))


def _compare(args, name) -> dict:
    network = NETWORKS[name]
    batch = args.batch or network.batch
    task = Task(name, list(network.image), batch, args.threads, args.inference, {})
    plan = Plan(
        args.frameworks,
        args.rounds,
        args.steps,
        args.environments,
        args.out,
        args.timeout,
        args.platform,
    )
    return {
        "image": task.image,
        "batch": batch,
        "inference": args.inference,
        **summarize(compare(plan, task), batch, OURS),
    }


def _parse(argv):
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(
        "benchmark_peers.py",
        description="The same network, batch and threads in cnnjax, stock Flax, PyTorch"
        " and Keras, taking turns. Installs missing frameworks into separate"
        " environments.",
    )
    add = parser.add_argument
    add(
        "--networks",
        type=_names(NETWORKS),
        default=list(NETWORKS),
        help="such as cnn,vgg11",
    )
    add(
        "--frameworks",
        type=_names(PEERS),
        default=list(PEERS),
        help="such as cnnjax,flax",
    )
    add("--batch", type=_count, help="images per step; default: the network's own")
    add("--rounds", type=_count, default=7, help="turns of each framework; default: 7")
    add("--steps", type=_count, default=5, help="steps per turn; default: 5")
    add("--threads", type=_count, default=cores, help="threads of each framework")
    add("--inference", action="store_true", help="time the logits only")
    add(
        "--environments",
        type=Path,
        default=Path(".peers"),
        help="folder of the virtual environments",
    )
    add("--out", type=Path, default=Path("runs/peers"), help="folder for the results")
    add("--platform", default="cpu", help="of JAX: cpu (default), cuda, rocm or tpu")
    add("--timeout", type=float, default=900, help="seconds to wait for one reply")
    args = parser.parse_args(argv)
    if args.threads > cores:
        parser.error(f"--threads is {args.threads}, but there are {cores} cores")
    return args


def _names(known):
    def read(text):
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(
                    f"{name!r} is none of {', '.join(known)}"
                )
        return names

    return read


def _count(text) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{count} is not 1 or more")
    return count


def _without_folders(argv) -> list:
    """The words but for folders, which say where and not what."""
    kept, words = [], iter(argv)
    for word in words:
        if word in ("--environments", "--out"):
            next(words, None)
        elif not word.startswith(("--environments=", "--out=")):
            kept.append(word)
    return kept
