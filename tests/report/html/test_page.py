"""The page: what it shows for each task, and that data stays text."""

import base64
import hashlib
import json
import math
import re
from dataclasses import replace

import pytest

from cnnjax.data.tasks import CLASSIFICATION, MULTILABEL, REGRESSION
from cnnjax.report.html import make_page
from tests.support.report.html import Page, make_facts, make_maps

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    '"onload="alert(1)\' {{ 7*7 }} <!--\x1b[31m\u202e&lt;'
)
# As long as the hostile text is when it is shown, so that names are cut alike.
HARMLESS = "x" * 120


def page_of(*runs):
    content = make_page(runs)
    assert len(content.encode()) < 3_000_000
    return content, Page(content)


@pytest.mark.parametrize("task", [CLASSIFICATION, MULTILABEL, REGRESSION])
def test_hostile_texts_change_no_element_and_no_attribute(task):
    content, hostile = page_of(make_facts(task, HOSTILE))
    _, harmless = page_of(make_facts(task, HARMLESS))
    assert hostile.skeleton == harmless.skeleton
    assert "alert(1)</script>" in hostile.text and "{{ 7*7 }}" in hostile.text
    check_is_closed(content, hostile)


def test_hostile_texts_change_no_element_of_label_maps():
    changes = {text: make_maps(text) for text in (HOSTILE, HARMLESS)}
    content, hostile = page_of(make_facts(text=HOSTILE, **changes[HOSTILE]))
    _, harmless = page_of(make_facts(text=HARMLESS, **changes[HARMLESS]))
    assert hostile.skeleton == harmless.skeleton
    assert "Label maps" in hostile.text and "Likely wrong labels" not in hostile.text
    check_is_closed(content, hostile)


def test_a_page_tells_what_it_could_not_look_at():
    _, page = page_of(make_facts(doubtful=None, not_doubtful=HOSTILE, layers=()))
    assert "They are not shown: </script><script>alert(1)</script>" in page.text
    assert "add “layers” to the setting report" in page.text
    _, page = page_of(make_facts())
    assert (
        "The 60 examples with the largest loss, of 60 of the 100 training examples"
        in page.text
    )
    assert "norm of the gradient of each layer" in page.text
    assert "add “layers”" not in page.text


def test_hostile_texts_change_no_element_of_a_comparison():
    content, hostile = page_of(
        make_facts(text=HOSTILE),
        make_facts(text=HOSTILE, name="b", seed=1, predicted=None, problem=HOSTILE),
    )
    _, harmless = page_of(
        make_facts(text=HARMLESS),
        make_facts(text=HARMLESS, name="b", seed=1, predicted=None, problem=HARMLESS),
    )
    assert hostile.skeleton == harmless.skeleton
    check_is_closed(content, hostile)


def check_is_closed(content, page):
    """Nothing comes from elsewhere, and only the page's own script may run."""
    assert "\x1b" not in content and "\u202e" not in content
    names = {name for _, attributes in page.elements for name in attributes}
    assert not {name for name in names if name.startswith("on")}
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "a", "base", "form")
        assert attributes.get("src", "data:image/").startswith("data:image/")
        assert re.fullmatch(
            r"((left|top|width):[\d.-]+%;?)*", attributes.get("style", "")
        )
    data, script = page.scripts
    json.loads(data)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    [policy] = [
        attributes["content"]
        for tag, attributes in page.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_a_classifier_has_a_matrix_whose_cells_know_their_examples():
    facts = make_facts()
    _, page = page_of(facts)
    outputs = facts.predicted.outputs
    data = json.loads(page.scripts[0])
    counts = {
        attributes["data-cell"]: None
        for tag, attributes in page.elements
        if "data-cell" in attributes
    }
    assert counts.keys() == data["cells"].keys()
    for name, numbers in data["cells"].items():
        truth, guess = map(int, name.split("-"))
        assert all(outputs.classes[numbers] == truth)
        assert all(outputs.predictions[numbers] == guess)
    shown = [a["data-example"] for _, a in page.elements if "data-example" in a]
    for number, (picture, *_) in data["pictures"].items():
        assert picture.startswith("data:image/png;base64,") != (number in shown)
    for title in ("Confusion matrix", "Calibration", "Most confident mistakes"):
        assert title in page.text
    assert page.text.index("75.00%") < page.text.index("Training")


def test_many_classes_have_their_most_confused_pairs_instead():
    _, page = page_of(make_facts(classes=41))
    assert "Confusion matrix" not in page.text
    assert "There are 41 classes; these pairs are confused most often" in page.text


def test_other_tasks_show_what_fits_them():
    _, several = page_of(make_facts(MULTILABEL))
    assert "average precision" in several.text
    _, numbers = page_of(make_facts(REGRESSION))
    assert "RMSE" in numbers.text and "Worst predictions" in numbers.text
    assert "cat 0: residuals, predicted minus true" in numbers.text
    for page in (several, numbers):
        assert "Confusion matrix" not in page.text and "Calibration" not in page.text
    unknown = replace(make_facts(predicted=None), task="segmentation")
    _, page = page_of(unknown)
    assert "no tables for predictions of the task “segmentation”" in page.text


@pytest.mark.parametrize("task", [CLASSIFICATION, MULTILABEL, REGRESSION])
def test_predictions_that_are_not_finite_are_shown(task):
    facts = make_facts(task)
    facts.predicted.outputs.logits[3:5] = [[math.nan], [math.inf]]
    facts.predicted.outputs.losses[3] = math.nan
    _, page = page_of(facts)
    json.loads(page.scripts[0], parse_constant=pytest.fail)
    page_of(facts, make_facts(task, name="b"))


def test_what_is_missing_is_said():
    facts = make_facts(predicted=None, problem="the data is gone", records=[], score={})
    _, page = page_of(facts)
    assert "the data is gone" in page.text
    assert "There are no metrics yet." in page.text
    assert "This run has no test result yet." in page.text
    assert "not finished" in page.text


def test_pictures_that_cannot_be_read_leave_the_rest():
    facts = make_facts()

    class Gone:
        def __getitem__(self, _):
            raise OSError("cat.png is gone")

    split = facts.predicted.split._replace(images=Gone())
    predicted = type(facts.predicted)(facts.predicted.outputs, split)
    _, page = page_of(make_facts(predicted=predicted))
    assert "There are no pictures: cat.png is gone" in page.text
    assert "Confusion matrix" in page.text and "example 5" in page.text


def test_a_long_run_of_many_classes_stays_small():
    records = [
        {"kind": kind, "step": step, "loss": 1 / (step + 1), "learning_rate": 0.1}
        for step in range(20_000)
        for kind in ("train", "validation")
    ]
    content, _ = page_of(make_facts(classes=1200, text="n" * 80, records=records))
    assert len(content) < 1_500_000
