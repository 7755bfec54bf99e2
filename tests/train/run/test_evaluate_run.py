"""An evaluation reads only the split that it scores."""

import json

import numpy as np
import pytest

from cnnjax.data.sources.idx import read_idx
from tests.support.data.file_bytes import idx
from tests.support.train.faults import SHORT, error, main, train, write_idx, write_npz


@pytest.fixture
def run(tmp_path):
    """A run on a folder of IDX files, which has the split test but no validation."""
    write_idx(tmp_path)
    source = f"--config.data.source=idx:{tmp_path}"
    assert train(tmp_path / "run", *SHORT, source, "--config.batch_size=16") == 0
    return tmp_path / "run"


def score(run, capfd, split="test"):
    capfd.readouterr()
    assert main(["evaluate", f"--workdir={run}", f"--split={split}"]) == 0
    return json.loads(capfd.readouterr().out)


@pytest.mark.slow
def test_test_is_scored_without_the_training_files(run, capfd):
    expected = score(run, capfd)
    for file in run.parent.glob("train-*"):
        file.unlink()
    assert score(run, capfd) == expected
    for split in ("train", "validation"):
        assert main(["evaluate", f"--workdir={run}", f"--split={split}"]) == 2
        assert "has no file named train-images" in error(capfd)


@pytest.mark.slow
def test_a_held_out_split_and_train_are_scored_from_all_files(run, capfd):
    records = [score(run, capfd, split) for split in ("train", "validation")]
    images = len(read_idx(next(run.parent.glob("train-labels*"))))
    assert sum(record["examples"] for record in records) == images


@pytest.mark.slow
def test_changed_pixels_of_the_scored_split_are_refused(run, capfd):
    path = next(run.parent.glob("t10k-images*"))
    images = np.array(read_idx(path))
    images[1, 2, 3] ^= 1
    path.write_bytes(idx(images))
    assert main(["evaluate", f"--workdir={run}"]) == 2
    assert "the test split is not that of the run" in error(capfd)


@pytest.mark.slow
def test_without_its_normalization_the_training_split_is_read(run, capfd):
    expected = score(run, capfd)
    (run / "normalization.json").unlink()
    assert score(run, capfd) == expected


@pytest.mark.slow
def test_an_archive_without_a_test_split_is_read_whole(tmp_path, capfd):
    source = f"--config.data.source=npz:{write_npz(tmp_path / 'set.npz')}"
    run = tmp_path / "run"
    assert train(run, *SHORT, source, "--config.batch_size=16") == 0
    told = json.loads((run / "data.json").read_text())
    assert score(run, capfd)["examples"] == told["test"]["examples"]
