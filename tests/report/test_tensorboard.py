"""Event files of TensorBoard: what is in them, and what trouble does to them."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from cnnjax.errors import ConfigError
from cnnjax.metrics import Outputs
from cnnjax.report import make_reporter, read_metrics
from cnnjax.report.event_files import EventFiles
from cnnjax.report.tensorboard import TensorBoard
from tests.report.test_metrics_file import room
from tests.support.report.events import (
    read_events,
    read_scalars,
    read_tags,
    read_values,
)

INFO = {"name": "digits", "metrics": ["loss", "accuracy"], "workdir": "runs/a"}
EVIL = "</pre><script>alert(1)</script>\n```\n\x1b[31m\u202e\ud800"


def train(step, **values):
    return {
        "kind": "train",
        "step": step,
        "epoch": step / 9,
        "loss": 1 / step,
        **values,
    }


def make(folder, told=None, settings=None):
    tell = [].append if told is None else told.append
    files = EventFiles(folder / "tensorboard", tell)
    return TensorBoard(files, settings or {"seed": 3, "optimizer.momentum": None})


def write(folder, *records, step=0, **options):
    board = make(folder, **options)
    board.start(INFO)
    board.rewind(step)
    for record in records:
        board.log(record)
    return board


def test_names_and_values_are_those_of_the_metrics_file(tmp_path):
    names, told = ("jsonl", "tensorboard"), {"seed": 3}
    reporter = make_reporter(tmp_path, names, told, progress="none")
    reporter.start(INFO)
    reporter.rewind(0)
    times = {"images_per_second": 80.5, "data_wait_fraction": 0.25}
    reporter.log(train(2, accuracy=0.5, gradient_norm=3.25, learning_rate=0.1, **times))
    score = {"epoch": 0.3, "loss": 0.7, "accuracy": 0.9, "auc": float("nan")}
    reporter.log({"kind": "validation", "step": 3, **score, "examples": 20})
    reporter.log({"kind": "test", "step": 3, **score, "examples": 21, "seconds": 2.0})
    reporter.end({"step": 3, "reason": "finished"})
    reporter.close()
    names = {
        "train/epoch": "epoch",
        "train/learning_rate": "lr",
        "train/images_per_second": "perf/images_per_second",
        "train/data_wait_fraction": "perf/waiting_for_data",
    }
    expected = {}
    for record in read_metrics(tmp_path / "metrics.jsonl"):
        split = {"validation": "val"}.get(record["kind"], record["kind"])
        for name in record.keys() - {"kind", "step", "seconds", "examples"}:
            if name != "epoch" or split == "train":
                tag = names.get(f"{split}/{name}", f"{split}/{name}")
                expected[tag] = [(record["step"], np.float32(record[name]))]
    found = read_scalars(tmp_path / "tensorboard")
    assert found.keys() == expected.keys()
    for tag, values in expected.items():
        np.testing.assert_array_equal(found[tag], values)


def test_settings_are_text_and_hyperparameters(tmp_path):
    settings = {
        "seed": 3,
        "data.flip": True,
        "metrics": ("auc",),
        "monitor": None,
    }
    board = write(tmp_path, settings=settings)
    board.end({"step": 0, "reason": "finished"})
    board.close()
    values = read_values(tmp_path / "tensorboard")
    assert [value.tag for value in values] == [
        "config/text_summary",
        "_hparams_/experiment",
        "_hparams_/session_start_info",
        "_hparams_/session_end_info",
    ]
    content = values[2].metadata.plugin_data.content
    found = HParamsPluginData.FromString(content).session_start_info.hparams
    assert found["seed"].number_value == 3
    assert found["data.flip"].bool_value
    assert found["metrics"].string_value == "('auc',)"
    assert found["monitor"].string_value == "None"
    content = values[1].metadata.plugin_data.content
    infos = HParamsPluginData.FromString(content).experiment.metric_infos
    assert [info.name.tag for info in infos] == [
        "val/loss",
        "val/accuracy",
        "test/loss",
        "test/accuracy",
    ]


def test_a_stop_by_a_signal_is_no_end(tmp_path):
    board = write(tmp_path)
    board.end({"step": 3, "reason": "SIGTERM"})
    board.close()
    tags = [value.tag for value in read_values(tmp_path / "tensorboard")]
    assert "_hparams_/session_end_info" not in tags


def test_steps_taken_again_stand_once_though_a_record_was_cut_off(tmp_path):
    folder = tmp_path / "tensorboard"
    write(tmp_path, *map(train, (1, 2, 3, 4)))  # and killed: it is never closed
    (log,) = folder.glob("*.log")
    with log.open("r+b") as file:
        file.truncate(log.stat().st_size - 5)
    assert [step for step, _ in read_scalars(folder)["train/loss"]] == [1, 2, 3]
    test = {"kind": "test", "step": 4, "loss": 0.5}
    write(tmp_path, *map(train, (3, 4)), test, step=2).close()
    assert read_scalars(folder)["train/loss"] == [
        (step, np.float32(1 / step)) for step in (1, 2, 3, 4)
    ]
    assert len(read_tags(folder, "tensor")) == 1  # the text of the settings
    write(tmp_path, test, step=4).close()  # scored once more
    assert read_scalars(folder)["test/loss"] == [(4, 0.5)]
    assert len(read_scalars(folder)["train/loss"]) == 4


def test_steps_taken_again_after_a_rollback_stand_once(tmp_path):
    board = write(tmp_path, *map(train, (1, 2, 3)))
    board.layers(3, {"weight_norm/Conv_0": 2.0}, {"weights/a": np.ones(3)})
    board.rewind(1)
    for step in (2, 3):
        board.log(train(step, loss=9.0))
    board.layers(3, {"weight_norm/Conv_0": 1.0}, {"weights/a": np.ones(3)})
    board.close()
    found = read_scalars(tmp_path / "tensorboard")
    assert found["train/loss"] == [(1, 1.0), (2, 9.0), (3, 9.0)]
    assert found["weight_norm/Conv_0"] == [(3, 1.0)]
    assert read_tags(tmp_path / "tensorboard", "histo") == [("weights/a", 3)]


def test_names_grow_even_if_the_clock_goes_back(tmp_path, monkeypatch):
    write(tmp_path, train(1)).close()
    monkeypatch.setattr("time.time", lambda: 5.0)
    write(tmp_path, train(2), step=1).close()
    steps = [step for step, _ in read_scalars(tmp_path / "tensorboard")["train/loss"]]
    assert steps == [1, 2]


def test_events_wait_for_room_and_are_written_in_order(tmp_path):
    told, folder = [], tmp_path / "tensorboard"
    board = write(tmp_path, train(1), told=told)
    (log,) = folder.glob("*.log")
    with room(log.stat().st_size + 10):
        for step in range(2, 30):
            board.log(train(step))
    board.log(train(30))
    board.close()
    found = read_scalars(folder)["train/loss"]
    assert found == [(step, np.float32(1 / step)) for step in range(1, 31)]
    assert len(told) == 2
    assert "cannot be written to" in told[0]
    assert "(File too large); training continues" in told[0]


def test_events_that_found_no_room_to_the_end_are_told_and_no_error(tmp_path):
    told = []
    with room(10):
        board = write(tmp_path, train(1), told=told)
        board.close()
    assert "the last 5 events for TensorBoard could not be written" in told[-1]


def test_no_file_is_left_without_its_version(tmp_path):
    folder = tmp_path / "tensorboard"
    with room(10):
        board = write(tmp_path, train(1))
        assert not list(folder.iterdir())
    board.log(train(2))
    board.close()
    assert read_scalars(folder)["train/loss"] == [(1, 1), (2, 0.5)]
    assert len(list(folder.iterdir())) == 2


def test_a_removed_folder_is_made_anew(tmp_path):
    told, folder = [], tmp_path / "tensorboard"
    board = write(tmp_path, train(1), told=told)
    shutil.rmtree(folder)
    board.log(train(2))
    board.close()
    assert read_scalars(folder)["train/loss"] == [(2, 0.5)]
    assert told == [
        f"{folder} was removed; TensorBoard's events from here on are in new files"
    ]


def test_a_removed_working_directory_stays_removed(tmp_path):
    told, workdir = [], tmp_path / "run"
    workdir.mkdir()
    board = write(workdir, train(1), told=told)
    shutil.rmtree(workdir)
    board.log(train(2))
    board.close()
    assert not workdir.exists()
    assert "the last 1 events" in told[-1]


def test_something_else_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "tensorboard").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="tensorboard is not a folder; move it away"):
        make(tmp_path)


def test_hostile_names_and_settings_stay_text(tmp_path):
    board = make(tmp_path, settings={"data.source": EVIL})
    board.start(INFO | {"name": EVIL, "metrics": [EVIL]})
    board.rewind(0)
    board.log({"kind": "validation", "step": 1, EVIL: 0.5})
    board.layers(1, {EVIL: 1.0}, {EVIL: np.ones(3)})
    board.close()
    values = read_values(tmp_path / "tensorboard")
    text = values[0].tensor.string_val[0].decode()
    lines = [line for line in text.split("\n") if line and line != "Settings:"]
    assert all(line.startswith("    ") for line in lines)  # code in Markdown
    assert all(value.tag.isprintable() for value in values)


def outputs(classes):
    labels = np.arange(classes).repeat(2)
    logits = np.eye(classes, dtype=np.float32)[labels]
    logits[1] = logits[-1]  # the second example is taken for the last class
    return Outputs(logits, labels, np.zeros(len(labels), np.float32))


@pytest.mark.parametrize("names", [None, ["cat", EVIL, "\u4e00" * 50]])
def test_the_confusion_matrix_is_a_picture(tmp_path, names):
    board = make(tmp_path)
    board.outputs("validation", 7, outputs(3), names)
    board.close()
    assert read_tags(tmp_path / "tensorboard", "image") == [("val/confusion", 7)]
    (value,) = read_events(tmp_path / "tensorboard")[-1].summary.value
    picture = Image.open(io.BytesIO(value.image.encoded_image_string))
    assert picture.size == (value.image.width, value.image.height)
    left, top, cell = 118, 25, 200
    corners = [
        [
            picture.getpixel((left + cell * x + 20, top + cell * y + 20))
            for x in range(3)
        ]
        for y in range(3)
    ]
    dark, half, white = (8, 48, 107), (132, 152, 181), (255, 255, 255)
    assert corners == [[half, white, half], [white, dark, white], [white, white, dark]]


def test_many_classes_fit_on_the_picture(tmp_path):
    board = make(tmp_path)
    board.outputs("test", 7, outputs(200), None)
    board.close()
    assert read_tags(tmp_path / "tensorboard", "image") == [("test/confusion", 7)]


def test_histograms_leave_out_what_is_not_finite(tmp_path):
    board = make(tmp_path)
    arrays = {"a": np.arange(10.0), "b": np.array([np.nan]), "c": np.zeros((0, 2))}
    board.layers(4, {"gradient_norm/Conv_0": np.nan}, arrays)
    board.close()
    assert read_tags(tmp_path / "tensorboard", "histo") == [("a", 4)]
    (value,) = read_events(tmp_path / "tensorboard")[-1].summary.value
    assert (value.histo.num, value.histo.sum, value.histo.max) == (10, 45, 9)
    assert sum(value.histo.bucket) == 10
