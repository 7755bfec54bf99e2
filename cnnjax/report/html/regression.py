"""Predicted against true numbers, and what is left of them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cnnjax.metrics import METRICS, Outputs
from cnnjax.report.html.charts import Chart, Series, make_chart

MOST_OUTPUTS = 6
"""Numbers per example that get charts."""
MOST_POINTS = 1500
"""Of one scatter plot; of more examples, some at equal distances are drawn."""
BINS = 25
"""Of the histogram of residuals."""


def regression_charts(outputs: Outputs, names: Sequence[str]) -> list[Chart]:
    """For each number: predictions against labels, and a histogram of residuals."""
    every = -(-len(outputs.labels) // MOST_POINTS) or 1
    charts: list[Chart | None] = []
    for column, name in enumerate(names[:MOST_OUTPUTS]):
        truths = outputs.labels[:, column].astype(np.float64)
        guesses = outputs.logits[:, column].astype(np.float64)
        order = np.argsort(truths, kind="stable")[::every]
        ends = [float(truths.min()), float(truths.max())]
        series = [
            Series("perfect", ends, ends, 7, "dashed"),
            Series(
                "predicted",
                truths[order].tolist(),
                guesses[order].tolist(),
                0,
                "points",
            ),
        ]
        note = f"One of {every} examples is drawn." if every > 1 else ""
        charts.append(
            make_chart(
                f"{name}: predicted by true value",
                series,
                x_name="true value",
                note=note,
            )
        )
        charts.append(_residuals(name, guesses - truths))
    return [chart for chart in charts if chart]


def output_table(
    outputs: Outputs, names: Sequence[str]
) -> list[tuple[str, float, float, float]]:
    """Name, mean absolute error, root of the mean squared error, and R2 of each."""
    rows = []
    for column, name in enumerate(names):
        chosen = slice(column, column + 1)
        logits, labels = outputs.logits[:, chosen], outputs.labels[:, chosen]
        one = replace(outputs, logits=logits, labels=labels)
        mean = float(np.abs(logits.astype(np.float64) - labels).mean())
        rmse, r2 = (METRICS[metric].function(one) for metric in ("rmse", "r2"))
        rows.append((name, mean, float(rmse), float(r2)))
    return rows


def _residuals(name: str, residuals: np.ndarray) -> Chart | None:
    finite = residuals[np.isfinite(residuals)]
    if not finite.size:
        return None
    counts, edges = np.histogram(finite, BINS)
    middles = ((edges[1:] + edges[:-1]) / 2).tolist()
    bars = Series("examples", middles, counts.tolist(), 1, "bars")
    return make_chart(
        f"{name}: residuals, predicted minus true",
        [bars],
        x_name="residual",
        x_range=(float(edges[0]), float(edges[-1])),
        y_range=(0, 1.05 * float(counts.max())),
    )
