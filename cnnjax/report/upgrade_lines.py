"""What ``cnnjax upgrade-check`` prints, and the values that it writes as JSON."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cnnjax.report.metrics_file import encode
from cnnjax.streams import printable

if TYPE_CHECKING:
    from cnnjax.train.run.state_difference import LayerDifference
    from cnnjax.train.run.upgrade_check import LoggedLoss, UpgradeCheck

HEADINGS = ("layer", "arrays", "ulp", "max abs", "relative", "bits")
LEGEND = """\
ulp: the largest difference of two numbers, in units in the last place; it is huge for
numbers close to 0 whose sign changes. max abs, relative: the largest difference, and
the same divided by the array's largest value."""
UNKNOWN = "(not recorded)"
LISTED = 5  # losses that differ


def upgrade_lines(check: "UpgradeCheck") -> list[str]:
    """The result for a terminal."""
    start = f"the checkpoint of step {check.start}" if check.start else "the start"
    lines = [f"steps {check.start + 1} to {check.end}, taken again from {start}", ""]
    lines += _version_lines(check)
    lines += ["", *_loss_lines(check.losses)]
    for step, layers in check.states.items():
        lines += ["", f"the state after step {step}:", *_table(layers)]
    if check.states:
        lines += ["", LEGEND]
    else:
        lines += [
            "",
            f"no state was compared: there is no checkpoint from step {check.start + 1}"
            f" to {check.end}",
        ]
    return [*lines, "", summary(check)]


def upgrade_values(check: "UpgradeCheck") -> dict[str, Any]:
    """The result as a tree for JSON."""
    return {
        "equal": check.first_departure is None,
        "first_departure": check.first_departure,
        "from_step": check.start,
        "to_step": check.end,
        "recorded": dict(check.recorded),
        "present": dict(check.present),
        "losses": [
            {
                "step": loss.step,
                "recorded": encode(loss.recorded),
                "present": encode(loss.now),
                "ulp": encode(loss.ulp),
                "equal": loss.equal,
            }
            for loss in check.losses
        ],
        "states": [
            {
                "step": step,
                "layers": [
                    {name: encode(value) for name, value in layer._asdict().items()}
                    for layer in layers
                ],
            }
            for step, layers in check.states.items()
        ],
    }


def summary(check: "UpgradeCheck") -> str:
    """Whether the steps gave what the run recorded, and where not."""
    first = check.first_departure
    if first is None:
        what = [f"the state after step {step}" for step in check.states]
        what += ["the logged losses"] if check.losses else []
        return f"equal, bit for bit: {', '.join(what)}"
    same = [loss.step for loss in check.losses if loss.equal and loss.step < first]
    before = max(same, default=check.start)
    where = f"at step {first}"
    if first - before > 1:
        where = f"between steps {before + 1} and {first}"
    return f"the numbers here differ from what the run recorded, first {where}"


def _version_lines(check: "UpgradeCheck") -> list[str]:
    names = [*check.present, *(n for n in check.recorded if n not in check.present)]
    rows = [("", "recorded", "here", "")]
    for name in names:
        before, now = check.recorded.get(name), check.present.get(name, "(none)")
        # A run that noted its versions left out what it did not have.
        before = before or ("(none)" if "jax" in check.recorded else UNKNOWN)
        if before == now and name in check.present and name.startswith("jax_"):
            continue  # options of JAX are of interest where they differ
        rows.append((name, before, now, "" if before == now else "differs"))
    return _columns(rows, right=())


def _loss_lines(losses: Sequence["LoggedLoss"]) -> list[str]:
    if not losses:
        return ["no loss was compared: the run logged none for these steps"]
    apart = [loss for loss in losses if not loss.equal]
    if not apart:
        return [f"logged losses that differ: none of {len(losses)}"]
    lines = [
        f"step {loss.step}: loss {loss.recorded:.9g} recorded, {loss.now:.9g} here"
        f" ({loss.ulp:,.3g} ulp)"
        for loss in apart[:LISTED]
    ]
    if len(apart) > LISTED:
        lines.append(f"and {len(apart) - LISTED} more")
    return [f"logged losses that differ: {len(apart)} of {len(losses)}", *lines]


def _table(layers: Sequence["LayerDifference"]) -> list[str]:
    rows = [
        (
            layer.layer,
            str(layer.arrays),
            f"{layer.ulp:,}",
            f"{layer.largest:.1e}",
            f"{layer.relative:.1e}",
            "equal" if layer.equal else "differ",
        )
        for layer in layers
    ]
    return _columns([HEADINGS, *rows], right=(1, 2, 3, 4))


def _columns(rows: Sequence[Sequence[str]], right: Sequence[int]) -> list[str]:
    rows = [[printable(text) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            text.rjust(width) if i in right else text.ljust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
