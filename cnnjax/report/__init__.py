"""What people look at while a network trains, and afterwards."""

from cnnjax.report.metrics_file import MetricsFile, check_records, read_metrics
from cnnjax.report.reporters import Reporters
from cnnjax.report.terminal import make_terminal_reporter

__all__ = [
    "MetricsFile",
    "Reporters",
    "check_records",
    "make_terminal_reporter",
    "read_metrics",
]
