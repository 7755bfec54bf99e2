"""The runs of a sweep: their names, their settings, and checks before any starts."""

import hashlib
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cnnjax.config import Config, find
from cnnjax.config.files import load_config
from cnnjax.errors import ConfigError, show
from cnnjax.sweep.choices import MOST, Choices
from cnnjax.train.run.experiment import check_early
from cnnjax.train.run.metrics import Monitor, make_metrics, make_monitor

LONGEST_VALUE, LONGEST_NAME = 60, 200  # characters
_UNSAFE = re.compile(r"[^\w.+@~-]", re.ASCII)


class PlannedRun(NamedTuple):
    """One run of a sweep.

    Attributes:
        number: its place in the sweep, from 0.
        name: of its working directory, in the folder of the sweep.
        values: of the swept settings, by their names.
        overrides: the texts of all settings that the command line changes.
        config: all settings, checked.
    """

    number: int
    name: str
    values: Mapping[str, Any]
    overrides: Mapping[str, str]
    config: Config


def plan_grid(
    path: str | Path, overrides: Mapping[str, str], swept: Sequence[Choices]
) -> list[PlannedRun]:
    """All combinations of some settings; the last setting changes fastest.

    Args:
        path: of the config file.
        overrides: texts of settings that all runs share.
        swept: the settings that differ.

    Raises:
        ConfigError: too many runs, two equal ones, or a run that cannot be trained.
    """
    count = math.prod(len(each.texts) for each in swept)
    if count > MOST:
        raise ConfigError(
            f"the sweep has {count:,} runs, expected at most {MOST:,}; shorten a list,"
            " or use --search=random"
        )
    names = [each.name for each in swept]
    plans = []
    for number, texts in enumerate(itertools.product(*(each.texts for each in swept))):
        changes = dict(zip(names, texts, strict=True))
        plans.append(plan_run(path, overrides, changes, number))
    _check_distinct(plans, swept)
    titles = name_runs([plan.values for plan in plans])
    return [p._replace(name=t) for p, t in zip(plans, titles, strict=True)]


def plan_run(
    path: str | Path,
    overrides: Mapping[str, str],
    changes: Mapping[str, str],
    number: int,
    name: str = "",
) -> PlannedRun:
    """A run, whose settings are checked as far as that is possible without its data.

    Args:
        path: of the config file.
        overrides: texts of settings that all runs share.
        changes: texts of the settings that differ.
        number: its place in the sweep.
        name: of its working directory.

    Raises:
        ConfigError: settings that cannot be used.
    """
    texts = {**overrides, **changes}
    try:
        config = load_config(path, texts)
        check_early(config)
    except ConfigError as error:
        listed = ", ".join(f"{name}={text}" for name, text in changes.items())
        raise ConfigError(f"the run with {listed}: {error}") from error
    values = {name: find(config, name) for name in changes}
    return PlannedRun(number, name, values, texts, config)


def find_monitor(config: Config) -> Monitor:
    """The validation metric that decides which run is the best."""
    return make_monitor(config.monitor, make_metrics(config.metrics))


def name_runs(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of folders, such as ``learning_rate=0.003,seed=1``.

    Args:
        runs: the values of the same settings for each run, all different.
    """
    labels = short_labels([*runs[0]]) if runs else {}
    columns = {name: _value_names([run[name] for run in runs]) for name in labels}
    found = []
    for number in range(len(runs)):
        parts = [f"{labels[name]}={columns[name][number]}" for name in labels]
        found.append(_cut(",".join(parts), LONGEST_NAME))
    return found


def short_labels(names: Sequence[str]) -> dict[str, str]:
    """The last part of each dotted name; the whole name where two would be equal."""
    ends = [name.rpartition(".")[2] for name in names]
    return {
        name: end if ends.count(end) == 1 else name
        for name, end in zip(names, ends, strict=True)
    }


def value_text(value: Any) -> str:
    """A value as people write it: ``true``, ``none``, ``4x8`` for a list."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return "x".join(map(value_text, value)) or "()"
    return str(value)


def _value_names(values: Sequence[Any]) -> list[str]:
    """The values as parts of names; a digest tells apart those that look the same."""
    names = [_cut(_UNSAFE.sub("_", value_text(v)), LONGEST_VALUE) for v in values]
    seen: dict[str, set[str]] = {}
    for name, value in zip(names, values, strict=True):
        seen.setdefault(name.casefold(), set()).add(repr(value))
    return [
        name if len(seen[name.casefold()]) == 1 else f"{name}-{_digest(repr(value))}"
        for name, value in zip(names, values, strict=True)
    ]


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 9]}-{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]


def _check_distinct(plans: Sequence[PlannedRun], swept: Sequence[Choices]) -> None:
    """Refuses two texts of a setting that stand for the same value.

    Raises:
        ConfigError: with both texts.
    """
    for name, _ in swept:
        seen: dict[str, str] = {}
        for plan in plans:
            text = plan.overrides[name]
            other = seen.setdefault(repr(plan.values[name]), text)
            if other != text:
                raise ConfigError(
                    f"--set {name} holds {show(other)} and {show(text)}, which are the"
                    " same value; remove one"
                )
