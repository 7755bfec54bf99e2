"""The report of a score, with names and numbers of every kind."""

import io
import math

import numpy as np

from cnnjax.metrics import Outputs
from cnnjax.report.score_report import print_report


def report(classes, names=None, **metrics):
    logits = np.eye(classes, dtype=np.float32)
    outputs = Outputs(logits, np.arange(classes), np.zeros(classes, np.float32))
    stream = io.StringIO()
    score = {"loss": 0.25, "accuracy": 1.0, **metrics, "examples": classes}
    print_report({"all": score, "augmented": score}, outputs, names, stream)
    return stream.getvalue()


def test_many_classes_have_no_confusion_matrix():
    assert "confusion" in report(20)
    assert "confusion" not in report(21)
    assert "20" in report(21).splitlines()[-1]


def test_accuracy_comes_first_and_what_is_undefined_has_no_number():
    lines = report(2, auc=math.nan).splitlines()
    assert [line.split() for line in lines[2:5]] == [
        ["accuracy", "1.0000"],
        ["loss", "0.2500"],
        ["auc", "-"],
    ]


def test_each_score_has_a_table_of_its_own():
    lines = report(2).splitlines()
    assert (lines[0], lines[5]) == ("all", "augmented")
    assert lines[1:4] == lines[6:9]


def test_names_of_classes_are_made_safe():
    assert "\\x1b[31m" in report(2, ["cat", "\x1b[31m[bold]dog"])
