"""A run, or several, as one HTML file that needs nothing else."""

from cnnjax.report.html.facts import (
    Doubtful,
    Inside,
    LabelMaps,
    LayerValues,
    Predicted,
    RunFacts,
    SettingFact,
)
from cnnjax.report.html.page import make_page

__all__ = [
    "Doubtful",
    "Inside",
    "LabelMaps",
    "LayerValues",
    "Predicted",
    "RunFacts",
    "SettingFact",
    "make_page",
]
