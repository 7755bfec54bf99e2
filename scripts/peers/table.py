"""A comparison as Markdown."""

import statistics
from collections.abc import Iterator

from peers.others import TOLERABLE


def markdown(report: dict) -> str:
    """The whole report: the machine, and a table for each network."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report) -> Iterator[str]:
    machine = report["machine"]
    yield (
        f"{machine['cpu']}, {machine['instructions']};"
        f" threads: {report['threads']}, cores:"
        f" {machine['cores']}, rounds: {report['rounds']}, steps in each:"
        f" {report['steps']}."
    )
    yield ""
    yield f"`{report['command']}`"
    for name, network in report["networks"].items():
        yield from _network(name, network)


def _network(name, network) -> Iterator[str]:
    shape = "x".join(map(str, network["image"]))
    kind = "inference" if network["inference"] else "training"
    workers = network["workers"]
    counts = [f"{found['parameters']:,} parameters" for found in workers.values()]
    what = ", ".join([kind, *counts[:1], f"{network['batch']} images of {shape}"])
    yield ""
    yield f"**{name}**, {what}"
    if workers:
        yield ""
        yield "| | ms/step | minimum | images/s | relative to cnnjax (min to max) |"
        yield "|---|---|---|---|---|"
    for framework, found in workers.items():
        yield (
            f"| {_label(framework, found)} | {found['step_seconds'] * 1e3:.1f}"
            f" | {found['step_seconds_min'] * 1e3:.1f}"
            f" | {found['images_per_second']:,.0f} | {_ratio(found['ratio'])} |"
        )
    yield from _company(workers)
    for framework, text in network["failures"].items():
        yield ""
        yield f"{framework} failed: {text}"


def _company(workers) -> Iterator[str]:
    """How busy the machine was with other work, and whether that is too much."""
    shares = [s for found in workers.values() for s in found["others"] if s is not None]
    if not shares:
        return
    usual = statistics.median(shares)
    yield ""
    yield (
        f"Other processes used {usual:.0%} of the machine in the median turn and"
        f" {max(shares):.0%} in the worst."
    )
    if usual > TOLERABLE:
        yield (
            f"That is more than {TOLERABLE:.0%}: run it again on a quiet machine before"
            " you believe a ratio."
        )


def _label(framework, found) -> str:
    names = ("cnnjax", "flax", "torch", "keras", "tensorflow", "jax")
    versions = [f"{n} {found['versions'][n]}" for n in names if n in found["versions"]]
    return f"{framework} ({', '.join(versions)})"


def _ratio(ratio) -> str:
    if ratio is None:
        return "-"
    return f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"
