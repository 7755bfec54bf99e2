"""The metrics of a run, and the one that decides which checkpoint is the best."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cnnjax.config.import_path import is_import_path, resolve_function, split
from cnnjax.data.tasks import REGRESSION
from cnnjax.errors import ConfigError, unknown_name
from cnnjax.metrics import METRICS, Metric, find_metric
from cnnjax.train.run.lengths import naming
from cnnjax.train.run.own_code import check_per_example
from cnnjax.train.step.loss import PER_EXAMPLE

_TAKEN = (
    "accuracy",
    "data",
    "epoch",
    "examples",
    "kind",
    "loss",
    "seconds",
    "split",
    "step",
)
_DIRECTIONS = {"min": False, "max": True}


class Monitor(NamedTuple):
    """What decides which of two validations is better.

    Attributes:
        name: ``"loss"``, ``"accuracy"`` or a metric of the run.
        higher_is_better: which of its values wins.
    """

    name: str
    higher_is_better: bool


def make_metrics(entries: Sequence[str]) -> dict[str, Metric]:
    """The metrics of the setting ``metrics`` by their names.

    Args:
        entries: names, and import paths of functions, which are called by the names of
            the attributes.

    Raises:
        ConfigError: no such metric or function, or a name that is taken.
    """
    found: dict[str, Metric] = {}
    for entry in entries:
        is_own = is_import_path(entry)
        name = split(entry)[1] if is_own else entry
        if not is_own and name in found:
            raise ConfigError(f"metrics holds {name!r} twice; remove one of the two")
        if is_own and (name in _TAKEN or name in found):
            taken = ", ".join(sorted({*_TAKEN, *found}))
            raise ConfigError(
                f"metrics holds {entry!r}, but the name {name!r} is taken, expected"
                f" a name other than {taken}; rename the function"
            )
        if is_own:
            function = resolve_function("metrics", entry, PER_EXAMPLE)
            found[name] = Metric(function, None, is_mean=True)
        elif name in ("loss", "accuracy"):
            raise ConfigError(
                f"metrics holds {name!r}, which is always reported; remove it"
            )
        else:
            found[name] = naming("metrics", find_metric, name)
    return found


def check_metrics(
    entries: Sequence[str],
    metrics: Mapping[str, Metric],
    classes: int,
    labels: Any,
    task: str,
) -> None:
    """Refuses metrics that cannot be computed for the classes of the data.

    Args:
        entries: of the setting ``metrics``.
        metrics: that ``make_metrics`` made of them.
        classes: how many there are.
        labels: of one of the splits; their shape and dtype.
        task: what the labels mean.

    Raises:
        ConfigError: the first that cannot.
    """
    for entry, metric in zip(entries, metrics.values(), strict=True):
        if task not in metric.tasks:
            valid = [name for name, each in METRICS.items() if task in each.tasks]
            raise ConfigError(
                f"metrics holds {entry!r}, which is for {' or '.join(metric.tasks)},"
                f" but the data and the loss are for {task}, expected one of"
                f" {', '.join(valid)}; remove it"
            )
        if metric.least_classes > classes:
            raise ConfigError(
                f"metrics holds {entry!r}, expected at most 'top{classes}', because the"
                f" data has {classes} classes"
            )
        if is_import_path(entry):
            check_per_example("metrics", entry, metric.function, classes, labels, task)


def make_monitor(
    text: str, metrics: Mapping[str, Metric], task: str | None = None
) -> Monitor:
    """The metric that the setting ``monitor`` names, with its direction.

    Args:
        text: a name; ``"max:NAME"`` or ``"min:NAME"`` for a metric of the user.
        metrics: of the run.
        task: what the labels mean; ``None`` before the data is read.

    Raises:
        ConfigError: no such metric, or no direction, or the wrong one.
    """
    always = (
        {"loss": False} if task == REGRESSION else {"loss": False, "accuracy": True}
    )
    directions = always | {
        name: metric.higher_is_better for name, metric in metrics.items()
    }
    prefix, _, name = text.rpartition(":")
    if prefix not in ("", *_DIRECTIONS):
        raise ConfigError(
            f"monitor is {text!r}, expected the name of a metric, such as 'loss', or"
            " 'max:NAME' or 'min:NAME'; for your own metric, NAME is the name of the"
            " function"
        )
    if name not in directions:
        raise _unknown_monitor(name, directions)
    known, asked = directions[name], _DIRECTIONS.get(prefix)
    if known is None and asked is None:
        raise ConfigError(
            f"monitor is {text!r}, a metric of your own, expected 'max:{name}' if a"
            f" higher value is better, or 'min:{name}' if a lower one is"
        )
    if None not in (known, asked) and known != asked:
        right = "higher" if known else "lower"
        raise ConfigError(
            f"monitor is {text!r}, but a {right} {name} is better; write {name!r}"
        )
    return Monitor(name, bool(asked if known is None else known))


def _unknown_monitor(name: str, valid: Mapping[str, bool | None]) -> ConfigError:
    """The error for a monitor that is none of the run's metrics, to be raised."""
    try:
        find_metric(name)
    except ValueError:
        return ConfigError(f"monitor: {unknown_name('metric', name, valid)}")
    return ConfigError(
        f"monitor is {name!r}, expected one of {', '.join(valid)}; to monitor {name},"
        " add it to the setting metrics"
    )
