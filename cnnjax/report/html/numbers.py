"""Numbers as short texts."""

import math
from typing import Any, TypeGuard

SHARES = ("accuracy", "balanced_accuracy")
"""Metrics that are shown in percent; so are top3, top5, and so on."""


def is_share(metric: str) -> bool:
    """Whether a metric is shown in percent."""
    return metric in SHARES or (metric.startswith("top") and metric[3:].isdigit())


def value_text(value: Any, metric: str = "") -> str:
    """A metric's value for people; ``-`` if it is not defined."""
    if not is_number(value):
        return "-"
    if not math.isfinite(value):
        return "-" if math.isnan(value) else "∞" if value > 0 else "-∞"
    if is_share(metric):
        return f"{value:.2%}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def percent(share: float) -> str:
    """A share in percent with one decimal; ``-`` if it is not defined."""
    return "-" if math.isnan(share) else f"{share:.1%}"


def p_text(p: float) -> str:
    """A p-value."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def short(value: float) -> str:
    """A number at an axis: ``20k``, ``0.05``, ``1e-05``."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.6g}{unit}"
    return f"{value:.6g}"


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether a value is an int or a float."""
    return isinstance(value, int | float) and not isinstance(value, bool)
