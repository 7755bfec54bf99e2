"""A finished run that is called again: nothing is promised, and nothing rewritten."""

import fcntl
import json

import pytest

from tests.support.train.faults import SHORT, contents, error, evaluate, train

SEVERAL = ["--config.optimizer.learning_rate=0.05", "--config.loss.label_smoothing=0.2"]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (
            ["--config.optimizer.learning_rate=0.05"],
            "optimizer.learning_rate changed from 0.002 to 0.05 has no effect",
        ),
        (["--config.data.flip=true"], "data.flip changed from False to True"),
        (["--config.duration=10 steps"], "duration changed from '20 steps'"),
        (["--config.precision=bfloat16"], "precision changed from 'float32'"),
        (SEVERAL, "from 0.1 to 0.2, optimizer.learning_rate changed from 0.002"),
    ],
)
def test_a_setting_without_effect_is_refused(run, capfd, words, what):
    before = contents(run)
    assert train(run, *SHORT, *words) == 2
    message = error(capfd)
    assert "this run is finished" in message
    assert what in message
    assert "set a longer duration to continue it" in message
    assert "give another --workdir to start a new run" in message
    after = contents(run)
    assert {name for name in after if after[name] != before.get(name)} <= {".lock"}


@pytest.mark.slow
def test_the_same_command_prints_the_same_result(run, capfd):
    before = contents(run)
    assert train(run, *SHORT) == 0
    out = capfd.readouterr().out
    assert "test accuracy" in out
    assert evaluate(run) == 0
    after = contents(run)
    for name in before:
        if name not in (".lock", "metrics.jsonl"):
            assert after[name] == before[name], name


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("--config.log_every=2 steps", "log_every: '50 steps' -> '2 steps'"),
        ("--config.checkpoint.keep=5", "checkpoint.keep: 2 -> 5"),
        ("--config.eval_batch_size=64", "eval_batch_size: 500 -> 64"),
        ("--config.duration=1280 examples", "duration: '20 steps' -> '1280 examples'"),
    ],
)
def test_a_setting_without_influence_on_results_passes(run, capfd, word, told):
    before = (run / "config.json").read_bytes()
    assert train(run, *SHORT, word) == 0
    out = " ".join(capfd.readouterr().out.split())
    assert f"changed setting {told}" in out
    assert "test accuracy" in out
    assert (run / "config.json").read_bytes() == before


def test_a_longer_run_takes_the_new_setting(run, capfd):
    words = ["--config.duration=22 steps", "--config.optimizer.learning_rate=0.05"]
    assert train(run, *SHORT, *words) == 0
    assert "optimizer.learning_rate: 0.002 -> 0.05" in capfd.readouterr().out
    stored = json.loads((run / "config.json").read_text())
    assert stored["optimizer"]["learning_rate"] == 0.05


def test_what_an_older_version_wrote_into_the_config_is_not_believed(run, capfd):
    """It wrote new settings into the config of a finished run, and took no step."""
    path = run / "config.json"
    tree = json.loads(path.read_text())
    tree["optimizer"]["learning_rate"] = 0.05
    path.write_text(json.dumps(tree))
    assert train(run, *SHORT, "--config.optimizer.learning_rate=0.05") == 2
    assert "learning_rate changed from 0.002 to 0.05 has no effect" in error(capfd)


EARLY = [
    "--config.optimizer.learning_rate=0.1",
    "--config.schedule.warmup=0 steps",
    "--config.schedule.name=constant",
    "--config.eval_every=3 steps",
    "--config.duration=300 steps",
]


@pytest.mark.slow
def test_a_run_that_stopped_early_is_finished_too(tmp_path, capfd):
    words = [*SHORT, *EARLY]
    stop = "--config.early_stopping.patience=3"
    assert train(tmp_path / "run", *words, stop) == 0
    before = (tmp_path / "run" / "config.json").read_bytes()
    for change in ("optimizer.learning_rate=0.2", "duration=400 steps"):
        capfd.readouterr()
        assert train(tmp_path / "run", *words, stop, f"--config.{change}") == 2
        message = error(capfd)
        assert "this run is finished" in message
        assert "stopped early after" in message
        assert "raise early_stopping.patience to continue it" in message
    assert (tmp_path / "run" / "config.json").read_bytes() == before
    assert train(tmp_path / "run", *words, stop) == 0


def test_a_new_run_does_not_branch_off_the_end(tmp_path, run, capfd):
    other = tmp_path / "other"
    assert train(other, *SHORT, f"--resume={run}") == 2
    message = error(capfd)
    assert f"this run is finished ({run}: 20 of 20 steps)" in message
    assert "set a longer duration" in message
    assert not other.exists()
    assert train(other, *SHORT, f"--resume={run}/checkpoints/15") == 0


@pytest.mark.slow
def test_a_run_that_paused_before_the_lock_sees_what_another_did(
    tmp_path, monkeypatch, capfd
):
    """The other run starts and ends between two lines of this one."""
    folder, flock = tmp_path / "run", fcntl.flock

    def paused(file, operation):
        monkeypatch.setattr(fcntl, "flock", flock)
        assert train(folder, *SHORT) == 0
        before.update(contents(folder))
        capfd.readouterr()
        return flock(file, operation)

    before: dict[str, bytes] = {}
    monkeypatch.setattr(fcntl, "flock", paused)
    assert train(folder, *SHORT, "--config.optimizer.learning_rate=0.05") == 2
    assert "this run is finished" in error(capfd)
    after = contents(folder)
    assert before
    assert {name for name in after if after[name] != before.get(name)} <= {".lock"}
