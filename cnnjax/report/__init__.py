"""What people look at while a network trains, and afterwards."""

from cnnjax.report.callbacks import Callback, CallbackReporter, make_callback
from cnnjax.report.metrics_file import MetricsFile, check_records, read_metrics
from cnnjax.report.reporters import Reporters, make_reporter
from cnnjax.report.terminal import make_terminal_reporter

__all__ = [
    "Callback",
    "CallbackReporter",
    "MetricsFile",
    "Reporters",
    "check_records",
    "make_callback",
    "make_reporter",
    "make_terminal_reporter",
    "read_metrics",
]
