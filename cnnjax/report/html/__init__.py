"""A run, or several, as one HTML file that needs nothing else."""

from cnnjax.report.html.facts import Predicted, RunFacts, SettingFact
from cnnjax.report.html.page import MAX_BYTES, make_page

__all__ = ["MAX_BYTES", "Predicted", "RunFacts", "SettingFact", "make_page"]
