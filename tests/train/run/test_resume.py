"""Stopping, killing and resuming: a resumed run ends as one that never stopped."""

import json
import os
import shutil
import signal

import jax
import pytest

from cnnjax.errors import CheckpointError, ConfigError, Interrupted, NonFiniteLossError
from cnnjax.report import read_metrics
from cnnjax.train.run.experiment import make_experiment
from cnnjax.train.run.loop import train
from cnnjax.train.run.trained import make_run_state
from tests.support.train.faults import (
    StopAt,
    assert_same,
    damage_flip,
    damage_notes,
    damage_remove,
    damage_truncate,
    mounted,
    remount,
    start,
    wait_for_step,
)
from tests.train.conftest import Recorder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, small_config):
    """A run of 30 steps that was never stopped, with augmentation and dropout."""
    config = small_config(
        duration="30 steps",
        checkpoint__every="4 steps",
        data__crop_padding="1",
        data__flip="true",
    )
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    return config, train(config, folder, Recorder()), folder


@pytest.fixture
def whole(tmp_path, undisturbed):
    """Its config and result; a copy of it to spoil is in ``tmp_path / "whole"``."""
    config, result, folder = undisturbed
    shutil.copytree(folder, tmp_path / "whole")
    return config, result


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 138)],
)
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(
    tmp_path, whole, recorder, number, status
):
    config, expected = whole
    for step in (7, 18):
        with pytest.raises(
            Interrupted, match="rerun the same command to resume"
        ) as caught:
            train(config, tmp_path / "run", StopAt(recorder, step, number))
        assert caught.value.status == status
    result = train(config, tmp_path / "run", recorder)
    assert_same(result.state, expected.state)
    assert result.test == expected.test
    assert any(text.startswith("resuming after step") for text in recorder.messages)


def test_after_the_end_the_same_command_scores_again(tmp_path, whole, recorder):
    config, expected = whole
    result = train(config, tmp_path / "whole", recorder)
    assert_same(result.state, expected.state)
    assert result.test == expected.test


@pytest.mark.slow
def test_longer_training_goes_on_from_the_end(tmp_path, small_config, recorder):
    train(small_config(), tmp_path / "run", recorder)
    longer = small_config(duration="20 steps")
    train(longer, tmp_path / "run", recorder)
    assert recorder.steps[-8]["step"] == 13
    assert "changed setting duration: '12 steps' -> '20 steps'" in recorder.messages
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert stored["duration"] == "20 steps"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__widths": "(4, 9)"}, "model.widths = (4, 8), and the command says"),
        ({"seed": "5"}, "seed = 0"),
        ({"optimizer__name": "sgd"}, "optimizer.name = 'adamw'"),
    ],
)
def test_a_change_that_makes_the_state_useless_is_refused(
    tmp_path, small_config, recorder, changes, message
):
    train(small_config(duration="1 step"), tmp_path / "run", recorder)
    before = (tmp_path / "run" / "config.json").read_bytes()
    with pytest.raises(ConfigError) as caught:
        train(small_config(**changes), tmp_path / "run", recorder)
    assert message in str(caught.value)
    assert (tmp_path / "run" / "config.json").read_bytes() == before


def test_resume_never_refuses_a_run_that_is_there(tmp_path, small_config, recorder):
    train(small_config(duration="1 step"), tmp_path / "run", recorder)
    with pytest.raises(ConfigError, match="holds a run already"):
        train(small_config(), tmp_path / "run", recorder, resume="never")


@pytest.mark.parametrize(
    "damage", [damage_flip, damage_truncate, damage_notes, damage_remove]
)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    tmp_path, whole, recorder, damage
):
    config, expected = whole
    folder = tmp_path / "whole" / "checkpoints"
    damage(folder / "30")
    result = train(config, tmp_path / "whole", recorder)
    assert_same(result.state, expected.state)
    assert (tmp_path / "whole" / "damaged" / "30").is_dir()
    told = [text for text in recorder.messages if "is damaged and was moved" in text]
    assert len(told) == 1
    assert "resuming after step 28" in recorder.messages


def test_a_look_at_a_damaged_checkpoint_moves_nothing(tmp_path, whole, capsys):
    config, _ = whole
    folder = tmp_path / "whole" / "checkpoints"
    damage_truncate(folder / "30")
    state = make_run_state(make_experiment(config), config, tmp_path / "whole")
    assert int(state.step) == 28
    assert (folder / "30").is_dir()
    assert "checkpoint of step 30 is damaged" in capsys.readouterr().err


def test_a_state_of_another_network_names_the_array(tmp_path, whole, small_config):
    other = small_config(model__widths="(4, 9)")
    with pytest.raises(CheckpointError) as caught:
        make_run_state(make_experiment(other), other, tmp_path / "whole")
    assert "Conv_1" in str(caught.value)
    assert "expected shape" in str(caught.value)


def test_newest_and_best_are_kept(tmp_path, small_config, recorder):
    config = small_config(checkpoint__every="2 steps", eval_every="2 steps")
    train(config, tmp_path / "run", recorder)
    kept = {int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir()}
    losses = {
        r["step"]: r["loss"] for r in recorder.records if r["kind"] == "validation"
    }
    assert kept == {10, 12, min(losses, key=losses.get)}


@pytest.mark.slow
def test_metrics_of_steps_that_are_taken_again_stand_once(tmp_path, small_config):
    from cnnjax.report import MetricsFile

    class Broken(MetricsFile):
        def step(self, record):
            if record["step"] == 11:
                raise RuntimeError("power cut")

    config = small_config(duration="16 steps", checkpoint__every="6 steps")
    file = tmp_path / "run" / "metrics.jsonl"
    broken = Broken(file)
    with pytest.raises(RuntimeError, match="power cut"):
        train(config, tmp_path / "run", broken)
    broken.close()
    whole = MetricsFile(file)
    train(config, tmp_path / "run", whole)
    whole.close()
    steps = [(record["kind"], record["step"]) for record in read_metrics(file)]
    assert len(steps) == len(set(steps))
    assert [step for kind, step in steps if kind == "train"] == [4, 8, 12, 16]


@pytest.mark.slow
def test_after_a_nan_a_lower_rate_goes_on(tmp_path, small_config, recorder):
    bad = small_config(optimizer__learning_rate="1e30", schedule__warmup="0 steps")
    with pytest.raises(NonFiniteLossError):
        train(bad, tmp_path / "run", recorder)
    good = small_config(schedule__warmup="0 steps")
    assert train(good, tmp_path / "run", recorder).state.step == 12


@pytest.mark.slow
def test_a_second_run_in_one_folder_is_refused(tmp_path):
    first = start(tmp_path, "--config.duration=5000 steps")
    try:
        wait_for_step(tmp_path, 7)
        second = start(tmp_path, "--config.duration=5000 steps")
        _, err = second.communicate(timeout=60)
        assert second.returncode == 2
        assert f"is in use by process {first.pid}" in err
    finally:
        first.kill()
        first.communicate()


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of 3 MB; making one takes root's rights."""
    with mounted(tmp_path / "disk", "size=3m") as folder:
        yield folder


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_full_disk_harms_no_older_checkpoint(small_disk):
    words = ["--config.duration=40 steps", "--config.checkpoint.every=20 steps"]
    process = start(small_disk / "run", *words)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "checkpoint of step 40 failed" in out
    assert "MB left" in out
    assert "the last state, of step 40, could not be written" in err
    assert "Traceback" not in err
    remount(small_disk, "size=30m")
    process = start(small_disk / "run", *words)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "resuming after step 20" in out


@pytest.mark.slow
def test_lines_of_metrics_are_those_of_a_whole_run(tmp_path, small_config, recorder):
    """Stopped between two lines, the next one is the mean over all its steps."""
    config = small_config(duration="30 steps", log_every="10 steps")
    train(config, tmp_path / "whole", recorder)
    expected = [r for r in recorder.records if r["kind"] == "train"]
    recorder.records.clear()
    for step in (4, 16):
        with pytest.raises(Interrupted):
            train(config, tmp_path / "run", StopAt(recorder, step))
    train(config, tmp_path / "run", recorder)
    found = [r for r in recorder.records if r["kind"] == "train"]
    for one, other in zip(found, expected, strict=True):
        for name in ("step", "loss", "accuracy", "gradient_norm", "learning_rate"):
            assert one[name] == other[name]
        assert one["images_per_second"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        (
            "jax_default_matmul_precision",
            "high",
            "JAX_DEFAULT_MATMUL_PRECISION=(unset) and resumes with high",
        ),
        (
            "jax_threefry_partitionable",
            False,
            "JAX_THREEFRY_PARTITIONABLE=True and resumes with False",
        ),
    ],
)
def test_another_option_of_jax_is_told_on_a_resume(
    tmp_path, small_config, recorder, option, value, told
):
    train(small_config(duration="2 steps"), tmp_path / "run", recorder)
    assert not any("numbers will differ" in text for text in recorder.messages)
    before = getattr(jax.config, option)
    jax.config.update(option, value)
    try:
        train(small_config(duration="4 steps"), tmp_path / "run", recorder)
    finally:
        jax.config.update(option, before)
    assert any(f"was trained with {told}" in text for text in recorder.messages)
