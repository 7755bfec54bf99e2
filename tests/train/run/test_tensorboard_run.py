"""Runs in TensorBoard: nothing about the run changes, and each step stands once."""

import contextlib
from pathlib import Path

import numpy as np
import pytest

from cnnjax.config import flatten
from cnnjax.report import Reporters, make_reporter, read_metrics
from cnnjax.train.run.loop import train
from cnnjax.typing import Reporter
from tests.support.report.events import read_scalars, read_tags
from tests.support.train.faults import assert_same

OFTEN = {"log_every": "1 step", "checkpoint__every": "3 steps"}
TRACKED = {"report": "('jsonl', 'tensorboard')", "report_every": "4 steps"}
LAYERS = ("Conv_0", "Conv_1", "Dense_0", "Dense_1")
PER_LAYER = (
    "gradient_norm",
    "weight_norm",
    "update_ratio",
    "activation_mean",
    "activation_std",
    "dead_units",
)


class PowerCut(Exception):
    """Ends a run without a last save."""


class CutAt(Reporter):
    """Ends the process at a step, as it were."""

    def __init__(self, step):
        self.at = step

    def step(self, record):
        if record["step"] == self.at:
            raise PowerCut


def run(config, workdir, *others):
    settings = dict(flatten(config.to_dict()))
    reporter = Reporters(make_reporter(workdir, config.report, settings), *others)
    with contextlib.closing(reporter):
        return train(config, workdir, reporter)


def timeless(folder):
    found = read_scalars(folder / "tensorboard")
    return {name: found[name] for name in found if not name.startswith("perf/")}


@pytest.fixture(scope="module")
def tracked(small_config):
    return small_config(**OFTEN, **TRACKED)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tracked):
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, run(tracked, folder)


@pytest.mark.slow
def test_the_run_is_the_same_without(tmp_path, whole, small_config):
    _, result = whole
    plain = small_config(
        log_every="1 step", checkpoint__every="3 steps", report="jsonl"
    )
    other = run(plain, tmp_path / "run")
    assert_same(other.state, result.state)
    assert other.test == result.test
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_numbers_are_those_of_the_metrics_file(whole):
    folder, _ = whole
    scalars = read_scalars(folder / "tensorboard")
    records = read_metrics(folder / "metrics.jsonl")
    for kind, split in (("train", "train"), ("validation", "val"), ("test", "test")):
        for name in ("loss", "accuracy"):
            chosen = [record for record in records if record["kind"] == kind]
            expected = [(each["step"], np.float32(each[name])) for each in chosen]
            assert scalars[f"{split}/{name}"] == expected
    assert {"lr", "perf/images_per_second", "perf/waiting_for_data"} <= scalars.keys()


def test_layers_are_reported_on_schedule(whole):
    folder, _ = whole
    scalars = read_scalars(folder / "tensorboard")
    for layer in LAYERS:
        for name in PER_LAYER:
            assert [step for step, _ in scalars[f"{name}/{layer}"]] == [4, 8, 12]
    squares = np.square([scalars[f"gradient_norm/{x}"] for x in LAYERS]).sum(0)[:, 1]
    whole_norms = dict(scalars["train/gradient_norm"])
    np.testing.assert_allclose(
        np.sqrt(squares), [whole_norms[step] for step in (4, 8, 12)], rtol=1e-5
    )
    histograms = read_tags(folder / "tensorboard", "histo")
    assert ("weights/Conv_0.kernel", 4) in histograms
    assert ("gradients/Dense_1.bias", 12) in histograms


def test_the_page_lists_every_name(whole):
    folder, _ = whole
    page = (Path(__file__).parents[3] / "docs" / "reporters.md").read_text()
    for tag in read_scalars(folder / "tensorboard"):
        what, _, layer = tag.partition("/")
        assert f"`{what}/LAYER`" in page if layer in LAYERS else f"`{tag}`" in page


def test_pictures_are_of_inputs_and_of_the_test(whole):
    folder, _ = whole
    assert read_tags(folder / "tensorboard", "image") == [
        ("inputs", 0),
        ("test/confusion", 12),
    ]


@pytest.mark.slow
def test_a_killed_and_resumed_run_shows_each_step_once(tmp_path, whole, tracked):
    folder, result = whole
    with pytest.raises(PowerCut):
        run(tracked, tmp_path / "run", CutAt(11))
    assert read_scalars(tmp_path / "run" / "tensorboard")["train/loss"][-1][0] > 9
    (log,) = (tmp_path / "run" / "tensorboard").glob("*.log")
    with log.open("ab") as file:
        file.write(b"\x50\0\0\0\0")  # the beginning of a record
    assert_same(run(tracked, tmp_path / "run").state, result.state)
    assert timeless(tmp_path / "run") == timeless(folder)
    for field in ("image", "histo", "tensor"):
        tags = read_tags(tmp_path / "run" / "tensorboard", field)
        assert sorted(tags) == sorted(read_tags(folder / "tensorboard", field))
