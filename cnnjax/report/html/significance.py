"""Whether two models differ by more than chance, on the same test examples."""

from typing import NamedTuple

import numpy as np

from cnnjax.data.tasks import CLASSIFICATION, REGRESSION, is_known
from cnnjax.metrics import Outputs
from cnnjax.report.html.facts import RunFacts

RESAMPLES = 10_000
MOST_NUMBERS = 2**24
"""Resampled numbers that are in memory at once."""


class Difference(NamedTuple):
    """How much better a second model is than a first one.

    Attributes:
        first: the mean of the first model: accuracy, or squared error.
        second: that of the second.
        low: lower end of the interval of ``second - first`` that covers 95%.
        high: its upper end.
        only_first: examples that only the first gets right; 0 for regression.
        only_second: examples that only the second gets right.
        p: of McNemar's exact test; ``None`` for regression.
        examples: how many there are.
    """

    first: float
    second: float
    low: float
    high: float
    only_first: int
    only_second: int
    p: float | None
    examples: int

    @property
    def is_clear(self) -> bool:
        """Whether the difference is more than chance, at the level of 5%."""
        if self.p is not None:
            return self.p < 0.05
        return self.low > 0 or self.high < 0


def why_not_comparable(first: RunFacts, second: RunFacts) -> str:
    """Why two runs cannot be compared example by example; empty if they can."""
    for run in (first, second):
        if run.predicted is None:
            return f"There are no predictions of {run.name}."
    if first.task != second.task:
        return "They are for different tasks."
    if not first.identity or first.identity != second.identity:
        return "They were not tested on the same examples."
    outputs = [run.predicted.outputs for run in (first, second) if run.predicted]
    if not np.array_equal(outputs[0].labels, outputs[1].labels):
        return "Their test examples have different labels."
    if not all(np.isfinite(_values(each)).all() for each in outputs):
        return "Some predictions are not finite."
    return ""


def find_difference(first: Outputs, second: Outputs, seed: int = 0) -> Difference:
    """Compares two models on the same examples.

    Accuracies are compared with McNemar's exact test: of the examples that only one of
    two equally good models gets right, each is as likely to be one model's as the
    other's. The interval is that of a paired bootstrap, which resamples examples; it is
    also there for regression, for the squared error.

    Args:
        first: the outputs of the first model.
        second: those of the second, for the same examples in the same order.
        seed: of the bootstrap.
    """
    known = is_known(first.labels)
    a, b = (_values(outputs)[known] for outputs in (first, second))
    low, high = bootstrap_interval(b - a, seed)
    if first.task == REGRESSION:
        return Difference(a.mean(), b.mean(), low, high, 0, 0, None, len(a))
    only_a, only_b = int(((a == 1) & (b == 0)).sum()), int(((b == 1) & (a == 0)).sum())
    p = mcnemar_p(only_a, only_b)
    return Difference(
        float(a.mean()), float(b.mean()), low, high, only_a, only_b, p, len(a)
    )


def mcnemar_p(only_first: int, only_second: int) -> float:
    """The p-value of McNemar's exact test, which is two-sided.

    Args:
        only_first: examples that only the first model gets right.
        only_second: those that only the second gets right.

    Example::

        >>> round(mcnemar_p(2, 10), 4)
        0.0386
    """
    from scipy.stats import binomtest

    total = only_first + only_second
    return float(binomtest(only_first, total, 0.5).pvalue) if total else 1.0


def bootstrap_interval(differences: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The 95% interval of a mean, by the percentiles of a bootstrap.

    Args:
        differences: one number per example, ``(n,)``.
        seed: of the resampling.
    """
    draw = np.random.default_rng(seed)
    values, counts = np.unique(differences, return_counts=True)
    n = len(differences)
    if len(values) <= 16:  # how often each value is drawn is all that matters
        drawn = draw.multinomial(n, counts / n, RESAMPLES)
        means = drawn @ values / n
    else:
        resamples = max(min(RESAMPLES, 100 * MOST_NUMBERS // n), 200)
        rows = max(MOST_NUMBERS // n, 1)
        means = np.concatenate(
            [
                differences[draw.integers(0, n, (min(rows, resamples - k), n))].mean(1)
                for k in range(0, resamples, rows)
            ]
        )
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _values(outputs: Outputs) -> np.ndarray:
    """What is compared: 1 for a right answer and 0 for a wrong one, or an error."""
    if outputs.task == REGRESSION:
        return ((outputs.logits.astype(np.float64) - outputs.labels) ** 2).mean(-1)
    if outputs.task == CLASSIFICATION:
        return (outputs.predictions == outputs.classes).astype(np.float64)
    unknown = outputs.labels < 0
    right = ((outputs.labels > 0.5) == outputs.predictions) | unknown
    return right.all(-1).astype(np.float64)
