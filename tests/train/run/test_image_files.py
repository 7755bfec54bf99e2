"""Runs on folders of image files: resumed bit for bit, evaluated and used elsewhere."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from cnnjax import evaluate, load
from cnnjax.data.sources.idx import read_idx
from cnnjax.train.run.trained import read_trained
from cnnjax.train.run.workdir import Origin
from tests.support.data.pictures import add_trouble, write_folder
from tests.support.train.faults import (
    LONGER,
    SHORT,
    assert_same,
    contents,
    error,
    start,
    train,
    wait_for_step,
    write_idx,
)

SIZE = "--config.data.image_size=(12, 16)"
BATCH = "--config.batch_size=16"
STREAMED = "--config.data.streaming=true"


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "set", count=40, ending=".jpg")


def source(folder):
    return f"--config.data.source=folder:{folder}"


def state(run):
    return read_trained(Origin(run))[0]


@pytest.mark.slow
def test_a_killed_run_resumes_bit_for_bit_with_other_workers(tmp_path, folder):
    words = [SIZE, BATCH, source(folder), STREAMED]
    whole = [*words, "--config.duration=60 steps"]
    assert train(tmp_path / "whole", *whole) == 0
    run = tmp_path / "killed"
    for step, workers in ((7, 0), (28, 1)):
        processes = f"--config.data.worker_processes={workers}"
        process = start(run, *whole, f"--config.data.workers={workers}", processes)
        wait_for_step(run, step)
        process.kill()
        process.communicate()
    more = ["--config.data.workers=4", "--config.data.worker_processes=3"]
    assert train(run, *whole, *more) == 0
    assert_same(state(run), state(tmp_path / "whole"))


@pytest.mark.slow
def test_streamed_and_in_memory_it_ends_the_same(tmp_path, folder):
    words = [*SHORT, SIZE, BATCH, source(folder)]
    assert train(tmp_path / "one", *words) == 0
    assert train(tmp_path / "other", *words, STREAMED) == 0
    assert_same(state(tmp_path / "one"), state(tmp_path / "other"))


@pytest.mark.slow
def test_a_folder_of_png_files_trains_as_idx_does(tmp_path):
    write_idx(tmp_path / "idx", n=60)
    for prefix, split in (("train", "train"), ("t10k", "test")):
        images = read_idx(tmp_path / "idx" / f"{prefix}-images-idx3-ubyte")
        labels = read_idx(tmp_path / "idx" / f"{prefix}-labels-idx1-ubyte")
        # The order of a folder: by class.
        order = np.argsort(labels, kind="stable")
        for number, index in enumerate(order):
            path = tmp_path / "png" / split / str(labels[index]) / f"{number:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[index]).save(path)
        sorted_split = {"images": images[order], "labels": labels[order]}
        np.savez(tmp_path / f"{split}.npz", **sorted_split)
    arrays = {
        f"{axis}_{split}": np.load(tmp_path / f"{split}.npz")[name]
        for split in ("train", "test")
        for axis, name in (("x", "images"), ("y", "labels"))
    }
    np.savez(tmp_path / "both.npz", **arrays)
    words = [*SHORT, BATCH]
    npz = f"--config.data.source=npz:{tmp_path / 'both.npz'}"
    assert train(tmp_path / "one", *words, npz) == 0
    assert train(tmp_path / "other", *words, source(tmp_path / "png")) == 0
    assert_same(state(tmp_path / "one"), state(tmp_path / "other"))


@pytest.mark.slow
def test_the_trained_model_takes_files_of_any_size(tmp_path, folder):
    run = tmp_path / "run"
    assert train(run, *SHORT, SIZE, BATCH, source(folder)) == 0
    expected = evaluate(run)
    trained = load(run)
    assert trained.class_names == ("cat", "dog")
    write_folder(tmp_path / "new", count=5)
    files = sorted((tmp_path / "new").glob("*/*"))
    from_files = trained.predict_proba(files)
    score = evaluate(run, f"folder:{tmp_path / 'new'}")
    labels = np.array([path.parent.name == "dog" for path in files])
    assert score.accuracy == np.mean(from_files.argmax(-1) == labels)
    shutil.rmtree(folder)
    assert load(run).predict(files[0]).label in (0, 1)
    write_folder(folder, count=40, ending=".jpg")
    assert evaluate(run) == expected


@pytest.mark.slow
def test_a_changed_picture_is_refused(tmp_path, folder, capfd):
    words = [SIZE, BATCH, source(folder)]
    assert train(tmp_path / "run", *SHORT, *words) == 0
    before = contents(tmp_path / "run")
    Image.new("RGB", (30, 30), "red").save(folder / "cat" / "07.jpg")
    assert train(tmp_path / "run", *LONGER, *words) == 2
    assert "split is not that of the run" in error(capfd)
    assert contents(tmp_path / "run") == before


@pytest.mark.slow
def test_bad_files_end_the_run_before_it_begins_or_are_skipped(tmp_path, folder, capfd):
    add_trouble(folder / "dog")
    words = [*SHORT, SIZE, BATCH, source(folder)]
    assert train(tmp_path / "run", *words) == 2
    assert "/dog/bomb.png cannot be read as an image" in error(capfd)
    assert train(tmp_path / "run", *words, "--config.data.bad_files=skip") == 0
    assert "note: skipped 9 bad files: " in capfd.readouterr().out
    described = json.loads((tmp_path / "run" / "model.json").read_text())
    assert described["decoding"]["size"] == [12, 16]


@pytest.mark.slow
def test_random_parts_are_a_function_of_seed_epoch_and_image(tmp_path, folder):
    part = "--config.data.random_part=(0.1, 1.0)"
    words = [SIZE, BATCH, source(folder), STREAMED, part]
    for run, workers in (("one", 0), ("other", 3)):
        for duration in (9, 20):  # resumed within an epoch
            length = f"--config.duration={duration} steps"
            more = [*SHORT, *words, length, f"--config.data.workers={workers}"]
            assert train(tmp_path / run, *more) == 0
    assert train(tmp_path / "plain", *SHORT, *words[:-1]) == 0
    assert_same(state(tmp_path / "one"), state(tmp_path / "other"))
    with pytest.raises(AssertionError):
        assert_same(state(tmp_path / "one"), state(tmp_path / "plain"))


def test_random_parts_need_streamed_files(tmp_path, folder, capfd):
    part = "--config.data.random_part=(0.1, 1.0)"
    assert train(tmp_path / "run", *SHORT, SIZE, BATCH, source(folder), part) == 2
    assert "data.random_part is (0.1, 1.0), which needs data.streaming" in error(capfd)


@pytest.mark.slow
def test_test_files_are_scored_without_the_training_files(tmp_path, capfd):
    """They are gray, and converted as the training files say."""
    write_folder(tmp_path / "set" / "train", count=30)
    write_folder(tmp_path / "set" / "test", count=9)
    for path in (tmp_path / "set" / "test").glob("*/*"):
        Image.open(path).convert("L").save(path)
    run = tmp_path / "run"
    assert train(run, *SHORT, SIZE, BATCH, source(tmp_path / "set")) == 0
    expected = evaluate(run)
    shutil.rmtree(tmp_path / "set" / "train")
    assert evaluate(run) == expected


@pytest.mark.slow
def test_a_loader_of_one_s_own_may_return_files(tmp_path, folder, monkeypatch):
    (tmp_path / "my_files.py").write_text(OWN_LOADER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    own = f"--config.data.source=my_files:load:{folder}"
    for run, where in (("one", own), ("other", source(folder))):
        assert train(tmp_path / run, *SHORT, SIZE, BATCH, where, STREAMED) == 0
    assert_same(state(tmp_path / "one"), state(tmp_path / "other"))


OWN_LOADER = """
from pathlib import Path
from cnnjax.data import EncodedImages

def load(folder):
    paths = sorted(Path(folder).glob("*/*.jpg"))
    names = [str(path) for path in paths]
    images = EncodedImages(names, lambda i: paths[i].read_bytes())
    return images, [int(path.parent.name == "dog") for path in paths]
"""
