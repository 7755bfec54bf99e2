"""A plan as lines for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from cnnjax.streams import printable
from cnnjax.train.machine.footprint import size_text

LEGEND = (
    "Memory, operations and traffic are those of one device. Operations: the products"
    " in convolutions and dense layers. Traffic: what the kernels read and write. At"
    " best: computed from published peak rates{source}; a real step takes longer."
)

SMALL = 2**16
"""Bytes of results that may be new in a training step: its metrics."""

_BOUNDS = {
    "compute": "bound by compute",
    "memory": "bound by memory traffic",
    "interconnect": "bound by the interconnect",
}


def plan_table(values: Mapping[str, Any]) -> Group:
    """A plan, for rich to print.

    Args:
        values: from ``cnnjax.plan.command.plan``.
    """
    table = Table(box=box.SIMPLE)
    table.add_column("")
    sides = [values["training"], values["evaluation"]]
    for name in ("training step", "evaluation step"):
        table.add_column(name, justify="right")
    training, evaluation = (_texts(values, side) for side in sides)
    for label in training | evaluation:
        table.add_row(label, training.get(label, ""), evaluation.get(label, ""))
    source = values["source"]
    legend = LEGEND.format(source=f" ({source})" if source else "")
    notes = [Text(printable(line)) for line in _notes(values)]
    title = Text(printable(headline(values)))  # names in it are not markup
    return Group(title, table, *notes, "", legend)


def headline(values: Mapping[str, Any]) -> str:
    """One sentence: the network, its images and the devices."""
    shape = "x".join(map(str, values["image_shape"]))
    many = f"{values['devices']} x " if values["devices"] > 1 else ""
    return (
        f"{values['model']}, {values['parameters']:,} parameters,"
        f" {values['precision']}, batch {values['batch_size']:,} of {shape} for"
        f" {values['target']}: {many}{values['device']}"
    )


def _texts(values: Mapping[str, Any], side: Mapping[str, Any]) -> dict[str, str]:
    memory = side["memory"]
    limit = memory["limit"]
    peak = size_text(memory["peak"])
    share = f" = {memory['peak'] / limit:,.0%} of {size_text(limit)}" if limit else ""
    if "flop" not in side:
        return {"compiles": "no, too large", "memory needed": peak + share}
    texts = {
        "compiles": f"yes, in {side['compile_seconds']:.0f} s",
        "batch": f"{side['batch_size']:,}",
        "arguments": size_text(memory["arguments"]),
        "results": size_text(memory["results"]),
        "  in donated memory": size_text(memory["reused"]),
        "temporaries": size_text(memory["temporaries"]),
        "not read, but kept": size_text(memory.get("unread", 0)),
        "memory in all": peak + share,
        "operations": f"{side['flop'] / 1e9:,.1f} GFLOP",
        "traffic": f"{size_text(side['bytes_moved'])} by {side['kernels']:,} kernels",
        "FLOP per byte": f"{side['intensity_flop_per_byte']:.1f}",
    }
    roof = side["roofline"]
    if roof is None:
        return texts
    texts["  at balance"] = f"{roof['balance_flop_per_byte']:.0f}"
    for name, seconds in roof["seconds"].items():
        texts[f"at best, {name}"] = _milliseconds(seconds)
    texts["at best, step"] = _milliseconds(roof["step_seconds"])
    texts["images/s"] = f"{side['batch_size'] / roof['step_seconds']:,.0f}"
    return texts


def _notes(values: Mapping[str, Any]) -> Iterator[str]:
    for name in ("training", "evaluation"):
        side = values[name]
        if "problem" in side:
            yield f"The {name} step does not fit: {side['problem']}."
            if (
                values["quick"]
                and side["memory"]["peak"] < 1.2 * side["memory"]["limit"]
            ):
                yield "--exact may find a program that fits."
        elif (
            side["memory"]["limit"] and side["memory"]["peak"] > side["memory"]["limit"]
        ):
            at_once = size_text(side["memory"]["compiler_peak"])
            yield f"The {name} step fits: at most {at_once} are in use at once."
        if side.get("roofline"):
            yield f"The {name} step is {_BOUNDS[side['roofline']['bound']]}."
        if "flop" in side and values["devices"] > 1:
            yield f"Between devices in the {name} step: {_collectives(side)}."
    if values["steps_per_call"] > 1:
        yield (
            f"One call takes {values['steps_per_call']:,} steps, and their batches are"
            " among its arguments; operations, traffic and time are those of one step."
        )
    if values["unfreezes"]:
        yield "This is the step before any unfreezing; later ones need more memory."
    if values["images_on_device"]:
        yield (
            f"The {values['images_on_device']:,} training images stay on each device,"
            " and are among the arguments."
        )
    training = values["training"]
    if "fresh_results" in training:
        yield _donated(training)
    if "float32_copies" in training:
        yield _copies(training["float32_copies"])
    if values["quick"]:
        yield (
            "Compiled with less search for fast kernels; --exact compiles as the run"
            " does, in several times the time, for less traffic."
        )
    yield from _batch_notes(values)
    for each in values.get("savings", ()):
        setting = f"{each['setting']}={str(each['value']).lower()}"
        if each["peak"] is None:
            yield f"With {setting}: unknown, because {each['reason']}."
            continue
        word = "saves" if each["saved"] >= 0 else "costs"
        yield (
            f"With {setting}: {size_text(each['peak'])}, which {word}"
            f" {size_text(abs(each['saved']))}."
        )
    if "savings" not in values:
        yield "--savings compiles with accumulate_steps and model.remat, to compare."


def _batch_notes(values: Mapping[str, Any]) -> Iterator[str]:
    if found := values.get("largest_batch"):
        end = f"; {found['too_large']:,} does not" if found["too_large"] else ""
        end += "" if found["close"] else "; the sizes between them were not all tried"
        if found["fits"]:
            peak = size_text(found["peak"])
            if not end and values["examples"]:
                end = ", and the training split has no more examples"
            yield f"Largest batch: {found['fits']:,} fits with {peak}{end}."
        else:
            yield f"Largest batch: none of those tried fits{end}."
    elif estimate := values.get("estimated_largest_batch"):
        unit = values["devices"] * values["accumulate_steps"]
        if values["examples"] and estimate + unit > values["examples"]:
            yield (
                f"Largest batch: about {estimate:,}, all of the training split, if"
                " memory grows with the batch."
            )
            return
        yield (
            f"Largest batch: about {estimate:,}, if memory grows with the batch;"
            " --largest-batch compiles to find it."
        )
    else:
        yield "--largest-batch searches for the largest batch that fits."


def _collectives(side: Mapping[str, Any]) -> str:
    texts = [
        f"{each['count']:,} {each['kind']}{'s' * (each['count'] > 1)} with"
        f" {size_text(each['bytes'])}"
        for each in side["collectives"]
    ]
    return ", ".join(texts) or "nothing"


def _donated(training: Mapping[str, Any]) -> str:
    memory, fresh = training["memory"], training["fresh_results"]
    if fresh <= SMALL:
        reused = size_text(memory["reused"])
        return f"Donated buffers: the new state reuses the {reused} of the old one."
    return (
        f"Donated buffers: {size_text(fresh)} of results do not reuse the memory of the"
        f" old state; {size_text(memory['reused'])} do."
    )


def _copies(copies: list[Mapping[str, Any]]) -> str:
    if not copies:
        return "Float32 copies of bfloat16 activations: none."
    total = size_text(sum(copy["bytes"] for copy in copies))
    count = sum(copy["count"] for copy in copies)
    sizes = "x".join(map(str, copies[0]["sizes"]))
    return (
        f"Float32 copies of bfloat16 activations: {count} with {total} in all, the"
        f" largest {sizes}."
    )


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-6 or not seconds else "< 1 µs"
