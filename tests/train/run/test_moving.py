"""Data and working directories that were moved: the run continues with them."""

import json
import shutil

import pytest

from tests.support.train.faults import (
    LONGER,
    SHORT,
    contents,
    error,
    evaluate,
    train,
    write_npz,
)


def words(path, settings=SHORT):
    return [*settings, f"--config.data.source=npz:{path}", "--config.batch_size=16"]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("moving")
    assert train(folder / "run", *words(write_npz(folder / "set.npz"))) == 0
    return folder


@pytest.fixture
def moved(tmp_path, original):
    """A copy of a run, under another name, whose data is only at another place."""
    shutil.copytree(original / "run", tmp_path / "renamed")
    shutil.move(original / "set.npz", tmp_path / "other.npz")
    yield tmp_path / "renamed", tmp_path / "other.npz"
    shutil.copy(write_npz(tmp_path / "same.npz"), original / "set.npz")


def scored(run, capfd):
    capfd.readouterr()
    assert evaluate(run) == 0
    return json.loads(capfd.readouterr().out)


@pytest.mark.slow
def test_data_at_another_place_is_told_and_resumed(moved, original, capfd):
    run, path = moved
    assert train(run, *words(path, LONGER)) == 0
    told = " ".join(capfd.readouterr().out.split())
    source = f"'npz:{original / 'set.npz'}' -> 'npz:{path}'"
    assert f"changed setting data.source: {source}; the data is the same" in told
    assert "resuming after step 20" in told
    assert scored(run, capfd)["step"] == 25  # from the new place


def test_a_finished_run_is_scored_with_data_at_another_place(moved, capfd):
    run, path = moved
    assert train(run, *words(path)) == 0
    assert "; the data is the same" in " ".join(capfd.readouterr().out.split())


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"pixels": {(40, 3, 3): 7}}, "split is not that of the run"),
        ({"labels": [(i * 3) % 5 for i in range(100)]}, "digest of the labels"),
    ],
)
def test_other_data_at_another_place_is_refused(moved, capfd, changes, what):
    run, path = moved
    write_npz(path, **changes)
    before = contents(run)
    assert train(run, *words(path, LONGER)) == 2
    message = error(capfd)
    assert what in message
    assert "restore the data, or give another --workdir" in message
    assert contents(run) == before


def test_data_that_cannot_be_compared_must_stay_where_it_was(moved, capfd):
    run, path = moved
    (run / "data.json").unlink()
    before = contents(run)
    assert train(run, *words(path, LONGER)) == 2
    assert "data.json is missing, so that nothing shows" in error(capfd)
    assert contents(run) == before


def test_a_copied_and_renamed_run_is_evaluated_and_resumed(tmp_path, trained, capfd):
    expected = scored(trained, capfd)
    copy = shutil.copytree(trained, tmp_path / "a" / "copy")
    renamed = shutil.move(copy, tmp_path / "renamed")
    assert scored(renamed, capfd) == expected
    assert train(renamed, *LONGER) == 0
    assert str(trained) not in capfd.readouterr().out
    assert scored(trained, capfd) == expected


@pytest.mark.slow
def test_a_fine_tuned_run_needs_its_origin_no_longer(tmp_path, run, capfd):
    start = f"--config.init_from={run}"
    assert train(tmp_path / "tuned", *SHORT, start) == 0
    shutil.rmtree(run)
    renamed = shutil.move(tmp_path / "tuned", tmp_path / "renamed")
    assert scored(renamed, capfd)["step"] == 20
    assert train(renamed, *LONGER, start) == 0
    assert scored(renamed, capfd)["step"] == 25
