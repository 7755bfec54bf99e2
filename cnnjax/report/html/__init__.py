"""A run, or several, as one HTML file that needs nothing else."""

from cnnjax.report.html.facts import Predicted, RunFacts, SettingFact
from cnnjax.report.html.page import make_page

__all__ = ["Predicted", "RunFacts", "SettingFact", "make_page"]
