"""Whole short runs on real data."""

import json

import numpy as np
import pytest

from cnnjax.data import measure
from cnnjax.errors import ConfigError, NonFiniteLossError
from cnnjax.train.run.evaluate_run import evaluate_run
from cnnjax.train.run.experiment import make_experiment
from cnnjax.train.run.loop import train
from tests.support.train.faults import assert_same, leaves


@pytest.mark.slow
def test_two_runs_with_one_seed_end_bit_equal(tmp_path, small_config, recorder):
    config = small_config(data__crop_padding="1", data__flip="true")
    first = train(config, tmp_path / "a", recorder)
    second = train(config, tmp_path / "b", recorder)
    assert_same(first.state, second.state)
    assert first.test == second.test


@pytest.mark.slow
def test_another_seed_is_another_run(tmp_path, small_config, recorder):
    first = train(small_config(), tmp_path / "a", recorder)
    second = train(small_config(seed="1"), tmp_path / "b", recorder)
    one, other = (leaves(result.state.params) for result in (first, second))
    assert any((a != b).any() for a, b in zip(one, other, strict=True))


def test_what_a_run_tells_and_leaves(tmp_path, small_config, recorder):
    config = small_config()
    result = train(config, tmp_path / "run", recorder)
    assert recorder.info["total_steps"] == 12
    assert recorder.info["examples"] == 1259
    assert [record["step"] for record in recorder.steps] == list(range(1, 13))
    told = [(record["kind"], record["step"]) for record in recorder.records]
    assert [step for kind, step in told if kind == "train"] == [4, 8, 12]
    assert [step for kind, step in told if kind == "validation"] == [5, 10, 12]
    assert told[-1] == ("test", 12)
    last = recorder.records[-1]
    assert (last["loss"], last["accuracy"]) == (result.test.loss, result.test.accuracy)
    assert last["examples"] == 359
    logged = next(r for r in recorder.records if r["kind"] == "train")
    assert 0 < logged["host_fraction"] < 1
    assert logged["images_per_second"] > 0
    trained = [r for r in recorder.records if r["kind"] == "train"]
    for name in ("validation_seconds", "checkpoint_seconds"):
        first, second, third = (record[name] for record in trained)
        assert first == 0 < min(second, third)  # after the steps 5 and 10
    assert json.loads((tmp_path / "run" / "config.json").read_text())["seed"] == 0


def test_the_log_line_is_the_mean_of_its_steps(tmp_path, small_config, recorder):
    train(small_config(), tmp_path / "run", recorder)
    second = [r for r in recorder.records if r["kind"] == "train"][1]
    losses = [record["loss"] for record in recorder.steps[4:8]]
    assert second["loss"] == pytest.approx(np.mean(losses))


def test_normalization_is_of_the_training_split_and_stored(
    tmp_path, small_config, recorder
):
    train(small_config(), tmp_path / "run", recorder)
    stored = json.loads((tmp_path / "run" / "normalization.json").read_text())
    images = make_experiment(small_config()).dataset.train.images
    np.testing.assert_allclose(stored["mean"], measure(images).mean, rtol=1e-6)
    assert stored["mean"] != pytest.approx(measure(images[:500]).mean.tolist())


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_trained_run_is_evaluated_from_disk(tmp_path, small_config, recorder, split):
    result = train(small_config(), tmp_path / "run", recorder)
    score = evaluate_run(tmp_path / "run", split)
    examples = {"train": 1259, "validation": 179, "test": 359}
    assert score.examples == examples[split]
    if split == "test":
        assert score == result.test


@pytest.mark.slow
def test_data_that_changed_is_noticed(tmp_path, small_config, recorder):
    def write(n):
        draw = np.random.default_rng(0)
        images = draw.integers(0, 256, (n, 8, 8), np.uint8)
        np.savez(tmp_path / "set.npz", images=images, labels=np.arange(n) % 3)

    write(300)
    source = f"npz:{tmp_path / 'set.npz'}"
    config = small_config(data__source=source, duration="1 step")
    train(config, tmp_path / "run", recorder)
    write(330)
    with pytest.raises(ConfigError, match="split is not that of the run"):
        evaluate_run(tmp_path / "run", "test")
    with pytest.raises(ConfigError, match="split is not that of the run"):
        train(config, tmp_path / "run", recorder)
    write(300)
    train(config, tmp_path / "run", recorder)


def test_checkpoints_of_nobody_knows_what_are_refused(tmp_path, small_config, recorder):
    train(small_config(duration="1 step"), tmp_path / "run", recorder)
    (tmp_path / "run" / "config.json").unlink()
    with pytest.raises(ConfigError, match="holds checkpoints but no config"):
        train(small_config(seed="5"), tmp_path / "run", recorder)


def test_a_file_as_workdir_is_refused(tmp_path, small_config, recorder):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(ConfigError, match="is a file, expected a folder"):
        train(small_config(), tmp_path / "run", recorder)
    assert (tmp_path / "run").read_text() == "mine"


def test_evaluating_what_is_not_there_is_refused(tmp_path, small_config, recorder):
    with pytest.raises(ConfigError, match="no run in"):
        evaluate_run(tmp_path, "test")
    train(small_config(duration="1 step"), tmp_path / "run", recorder)
    (tmp_path / "run" / "checkpoints").rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match="no intact checkpoint"):
        evaluate_run(tmp_path / "run", "test")


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, small_config, recorder):
    config = small_config(optimizer__learning_rate="1e30", schedule__warmup="0 steps")
    with pytest.raises(NonFiniteLossError) as caught:
        train(config, tmp_path / "run", recorder)
    message = str(caught.value)
    assert "at step 2" in message or "at step 3" in message
    assert "learning rate" in message
    assert "--config.optimizer.clip_norm=1" in message


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop", "lion", "sgd"])
def test_optimizers_by_name(tmp_path, small_config, recorder, name):
    config = small_config(optimizer__name=name, duration="3 steps")
    train(config, tmp_path / "run", recorder)
    assert np.isfinite(recorder.steps[-1]["loss"])


@pytest.mark.slow
def test_sigmoid_loss_learns(tmp_path, small_config, recorder):
    config = small_config(
        loss__name="sigmoid", optimizer__learning_rate="0.02", duration="200 steps"
    )
    assert train(config, tmp_path / "run", recorder).test.accuracy > 0.5


@pytest.mark.slow
def test_both_kinds_of_gradients_give_one_loss_curve(tmp_path, small_config, recorder):
    """Equal but for rounding, which 30 steps of Adam let grow to some 1e-5."""
    curves = []
    for kind in ("custom", "autodiff"):
        recorder.steps.clear()
        config = small_config(gradients=kind, duration="30 steps")
        train(config, tmp_path / kind, recorder)
        curves.append([record["loss"] for record in recorder.steps])
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-4)


def test_an_unwritable_cache_is_no_obstacle(tmp_path, small_config, recorder):
    (tmp_path / "file").touch()
    config = small_config(compilation_cache=str(tmp_path / "file" / "cache"))
    train(config, tmp_path / "run", recorder)
    assert recorder.records[-1]["kind"] == "test"
