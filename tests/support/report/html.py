"""Facts about runs that nobody trained, and what a parser finds in a page."""

from html.parser import HTMLParser

import numpy as np

from cnnjax.data import Split
from cnnjax.data.tasks import CLASSIFICATION, MULTILABEL
from cnnjax.metrics import Outputs
from cnnjax.report.html import (
    Doubtful,
    Inside,
    LabelMaps,
    LayerValues,
    Predicted,
    RunFacts,
    SettingFact,
)

EXAMPLES = 60


def make_outputs(task=CLASSIFICATION, classes=3, seed=0):
    """Random outputs, of which some are right."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(EXAMPLES, classes)).astype(np.float32)
    losses = draw.random(EXAMPLES).astype(np.float32)
    if task == CLASSIFICATION:
        labels = (np.arange(EXAMPLES) % classes).astype(np.int32)
        logits[np.arange(EXAMPLES), labels] += 1
    elif task == MULTILABEL:
        labels = draw.integers(-1, 2, (EXAMPLES, classes)).astype(np.int8)
    else:
        labels = (logits + draw.normal(size=logits.shape)).astype(np.float32)
    return Outputs(logits, labels, losses, task == MULTILABEL, task)


def make_records(metrics=("loss", "accuracy")):
    """The lines of a metrics file: two of training, two validations, and the test."""
    records = []
    for step in (10, 20):
        values = {name: 1 / step + i for i, name in enumerate(metrics)}
        head = {"step": step, "epoch": step / 5}
        times = {"step_seconds": 0.5, "data_wait_fraction": 0.2}
        times |= {"validation_seconds": step / 10 - 1, "checkpoint_seconds": 0.5}
        train = {"kind": "train", **head, **values, **times, "learning_rate": 0.1}
        records += [train | {"seconds": 0.6 * step}]
        records += [{"kind": "validation", **head, **values, "seconds": 0.6 * step + 1}]
    return [*records, {"kind": "test", "step": 20, "loss": 0.3, "seconds": 16.0}]


def make_facts(task=CLASSIFICATION, text="cat", classes=3, seed=0, **changes):
    """The facts about a run; ``text`` is in all names that data or a user chooses."""
    images = np.random.default_rng(1).integers(0, 256, (EXAMPLES, 4, 3, 1), np.uint8)
    outputs = make_outputs(task, classes, seed)
    files = np.array([f"{text}/{number}.png" for number in range(EXAMPLES)])
    facts = {
        "name": f"run {text}",
        "workdir": f"runs/{text}",
        "model": f"net {text}",
        "options": {f"widths {text}": text},
        "task": task,
        "num_classes": classes,
        "class_names": [f"{text} {number}" for number in range(classes)],
        "image_shape": (4, 3, 1),
        "source": f"folder:{text}",
        "examples": {"train": 100, "test": EXAMPLES},
        "records": make_records(("loss", "accuracy", f"metric {text}")),
        "settings": [
            SettingFact("data.source", f"folder:{text}", "'digits'", True),
            SettingFact(f"model.{text}", text, text, False),
        ],
        "best_step": 20,
        "step": 20,
        "score": {"loss": 0.3, "accuracy": 0.75, f"metric {text}": 0.5},
        "parameters": 1234,
        "predicted": Predicted(outputs, Split(images, outputs.labels), files),
        "doubtful": Doubtful(
            Predicted(outputs, Split(images, outputs.labels), files), EXAMPLES, 100
        ),
        "inside": make_inside(images[0], text),
        "layers": [
            {"kind": "layers", "step": step, f"gradient_norm/{text}": 1 / step}
            for step in (10, 20)
        ],
        "identity": {"labels": "abc"},
        "machine": {f"devices {text}": text},
        "versions": {"cnnjax": text},
    }
    return RunFacts(**facts | changes)


def make_inside(image, text):
    """Filters and feature maps of layers whose names hold ``text``."""
    draw = np.random.default_rng(2)
    filters = draw.normal(size=(3, 3, 1, 5)).astype(np.float32)
    maps = [LayerValues(f"{text} {i}", draw.normal(size=(4, 3, 40))) for i in (1, 2)]
    return Inside([text], LayerValues(text, filters), image, f"{text}.png", maps)


def make_maps(text="cat", classes=3):
    """Label maps of three examples, with a pixel to ignore, as changes to the facts."""
    draw = np.random.default_rng(3)
    images = draw.integers(0, 256, (3, 6, 5, 1), np.uint8)
    labels = draw.integers(0, classes, (3, 6, 5), np.int8)
    labels[0, 0, 0] = -1
    confusion = draw.integers(0, 9, (classes, classes))
    names = [f"{text}/{i}.png" for i in range(3)]
    guesses = np.roll(labels.clip(0), 1, 0)
    maps = LabelMaps(confusion, Split(images, labels), guesses, names)
    changes = {"task": "segmentation", "label_maps": maps}
    return changes | {"predicted": None, "doubtful": None}


class Page(HTMLParser):
    """The elements of a page, its texts, and its scripts."""

    def __init__(self, content):
        super().__init__()
        self.elements = []
        self.texts, self.scripts = [], []
        self._tag = ""
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._tag = tag

    def handle_endtag(self, tag):
        self._tag = ""

    def handle_data(self, data):
        (self.scripts if self._tag == "script" else self.texts).append(data)

    @property
    def skeleton(self):
        """Tags and the names of their attributes, which no data may change."""
        return [(tag, sorted(attributes)) for tag, attributes in self.elements]

    @property
    def text(self):
        """All text that is shown."""
        return " ".join(" ".join(self.texts).split())
