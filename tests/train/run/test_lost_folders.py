"""Working directories that are lost, moved, empty or named in an odd way."""

import shutil
import time

import pytest

from cnnjax.cli import main
from cnnjax.errors import CheckpointError
from cnnjax.train.run.loop import train as train_run
from cnnjax.train.run.workdir import Origin, find_run
from tests.support.train.faults import (
    DIGITS,
    LONGER,
    SHORT,
    contents,
    error,
    train,
)


def empty(folder):
    for path in folder.iterdir():
        shutil.rmtree(path)


@pytest.mark.parametrize("lose", [shutil.rmtree, empty])
def test_lost_checkpoints_are_no_reason_to_start_anew(run, capfd, lose):
    lose(run / "checkpoints")
    before = contents(run)
    for words in (SHORT, LONGER):
        assert train(run, *words) == 2
        message = error(capfd)
        assert f"the checkpoints of the run are gone: {run}" in message
        for way_out in ("restore them", "give another --workdir", "remove"):
            assert way_out in message
        after = contents(run)
        assert {name for name in after if after[name] != before.get(name)} <= {".lock"}
        assert before.keys() == after.keys()


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_starts_again(tmp_path, recorder):
    """All that it leaves is there but for a checkpoint."""
    from cnnjax.config.files import load_config

    class Killed(Exception):
        pass

    def kill(state):
        if state.step == 3:
            raise Killed

    words = dict(word[len("--config.") :].split("=") for word in SHORT)
    config = load_config(DIGITS.partition("=")[2], words)
    with pytest.raises(Killed):
        train_run(config, tmp_path / "run", recorder, watch_state=kill)
    assert (tmp_path / "run" / "config.json").exists()
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
    assert train(tmp_path / "run", *SHORT) == 0


@pytest.mark.slow
@pytest.mark.parametrize("do", ["move", "remove", "replace"])
def test_a_folder_that_goes_away_during_the_run_is_not_made_again(
    tmp_path, recorder, small_config, do
):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    config = small_config(checkpoint__every="4 steps", duration="40 steps")

    def harm(state):
        if state.step == 6:
            time.sleep(2)  # the save before is at its end
            run.rename(elsewhere)
            if do == "replace":
                run.mkdir()
                (run / "letter").write_text("mine")
            if do == "remove":
                shutil.rmtree(elsewhere)

    with pytest.raises(CheckpointError) as caught:
        train_run(config, run, recorder, watch_state=harm)
    message = str(caught.value)
    assert recorder.steps[-1]["step"] == 8  # the next that would be saved
    if do == "remove":
        assert f"workdir {run} was removed or replaced during the run" in message
        assert not run.exists()
        return
    assert f"workdir {run} was moved to {elsewhere} during the run" in message
    assert f"--workdir={elsewhere}" in message
    assert contents(run) == ({"letter": b"mine"} if do == "replace" else {})
    assert run.exists() == (do == "replace")
    recorder.messages.clear()
    train_run(config, elsewhere, recorder)
    assert {"resuming after step 4", "resuming after step 5"} & {*recorder.messages}


def test_metrics_follow_a_folder_that_is_moved(tmp_path):
    from cnnjax.report import MetricsFile, read_metrics

    (tmp_path / "run").mkdir()
    metrics = MetricsFile(tmp_path / "run" / "metrics.jsonl")
    metrics.rewind(0)
    (tmp_path / "run").rename(tmp_path / "moved")
    metrics.log({"kind": "train", "step": 1})
    metrics.close()
    assert not (tmp_path / "run").exists()
    assert len(read_metrics(tmp_path / "moved" / "metrics.jsonl")) == 1


EMPTY = [
    (["train", DIGITS, "--workdir="], "--workdir is empty"),
    (["train", DIGITS, "--workdir=run", "--resume="], "--resume is empty"),
    (["evaluate", "--workdir="], "--workdir is empty"),
    (["compare", DIGITS, "--checkpoint="], "--checkpoint is empty"),
    (["compare", "--ops", "relu", "--json="], "--json is empty"),
    (["compare", "--ops", "relu", "--html="], "--html is empty"),
    (["train", DIGITS, "--workdir=run", "--config.init_from="], "init_from is empty"),
    (
        ["train", DIGITS, "--workdir=run", "--config.compilation_cache="],
        "compilation_cache is empty",
    ),
]


@pytest.mark.parametrize(("words", "message"), EMPTY, ids=lambda x: str(x)[:60])
def test_an_empty_path_is_refused(tmp_path, monkeypatch, capfd, words, message):
    monkeypatch.chdir(tmp_path)
    assert main([*words, *(SHORT if "train" in words else [])]) == 2
    assert message in error(capfd)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_home_folder_is_meant_by_a_tilde(tmp_path, run, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["evaluate", "--workdir=~/run"]) == 0
    assert find_run("~/run", "init_from") == Origin(tmp_path / "run")
    cache = "--config.compilation_cache=~/cache"
    assert train("~/branch", cache, *LONGER, "--resume=~/run") == 0
    assert (tmp_path / "branch" / "config.json").exists()
    assert (tmp_path / "cache").is_dir()
    assert not (tmp_path / "~").exists()
    capfd.readouterr()
    assert main(["evaluate", "--workdir=~nobody-of-that-name/run"]) == 2
    assert "whose home folder is unknown" in error(capfd)


@pytest.mark.parametrize("word", ["nevr", "Auto", "no/such/run"])
def test_a_wrong_word_for_resume_is_refused_where_a_run_is(run, capfd, word):
    before = contents(run / "checkpoints")
    assert train(run, *LONGER, f"--resume={word}") == 2
    assert f"--resume is '{word}'" in error(capfd)
    assert contents(run / "checkpoints") == before


def test_a_run_to_branch_off_is_told_not_to_count_where_a_run_is(
    tmp_path, run, trained, capfd
):
    assert train(run, *LONGER, f"--resume={trained}") == 0
    told = " ".join(capfd.readouterr().out.split())
    assert f"{run} holds a run already, which is resumed; --resume={trained}" in told


def test_a_refused_run_leaves_no_folder(tmp_path, capfd):
    (tmp_path / "own").mkdir()
    for folder in (tmp_path / "a" / "b", tmp_path / "own"):
        assert train(folder, *SHORT, "--config.data.source=npz:no/such/file") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["own"]
    assert list((tmp_path / "own").iterdir()) == []
