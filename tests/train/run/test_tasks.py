"""Runs on every kind of label: trained, cut, resumed, scored, and compared."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

import cnnjax
from cnnjax.cli import main
from cnnjax.compare.model import compare_problem, make_problem
from cnnjax.data.sources.digits import load_digits
from cnnjax.errors import ConfigError, DataError, Interrupted
from cnnjax.train.run.evaluate_run import evaluate_run, evaluate_step
from cnnjax.train.run.experiment import make_experiment
from cnnjax.train.run.loop import train
from cnnjax.train.run.trained import make_run_state
from cnnjax.train.run.training_step import make_train_step
from cnnjax.train.step.loss import LossOptions, make_loss
from tests.support.train.faults import StopAt, assert_same

DIGITS = load_digits("").train
IMAGES, NUMBERS = np.asarray(DIGITS.images), np.asarray(DIGITS.labels)
FLAGS = np.stack([NUMBERS % 2 == 0, NUMBERS > 4, NUMBERS == 8], axis=1).astype(int)
FLAGS[::7, 1] = -1
INK = IMAGES.mean((1, 2, 3)) / 255
WITHOUT = {"loss__label_smoothing": "0"}

KINDS = {
    "several": (
        FLAGS,
        ["even", "large", "eight"],
        {
            "loss__name": "sigmoid",
            "loss__class_weights": "balanced",
            "loss__focal_gamma": "1.5",
            "metrics": "('auc', 'hamming_loss')",
            "monitor": "accuracy",
        },
    ),
    "numbers": (
        np.stack([NUMBERS / 10, INK], axis=1),
        ["digit", "ink"],
        {"loss__name": "mse", "metrics": "('mae', 'r2')", "monitor": "r2"},
    ),
    "one number": (NUMBERS, None, {"loss__name": "huber", "loss__delta": "0.5"}),
    "soft": (
        0.8 * np.eye(10)[NUMBERS] + 0.02,
        None,
        {
            "data__augment": "('mixup(0.5)',)",
            "loss__class_weights": "balanced",
            "metrics": "('top3', 'log_loss')",
        },
    ),
    "ignored": (
        np.where(np.arange(len(NUMBERS)) % 5, NUMBERS, -1),
        None,
        {
            "data__sampling": "balanced",
            "loss__class_weights": "(1, 2, 3, 4, 5, 6, 7, 8, 9, 0)",
            "loss__focal_gamma": "2",
        },
    ),
}


@pytest.fixture(params=KINDS)
def kind(request, tmp_path, small_config):
    """The settings of a run on one kind of labels, which are in a file."""
    labels, names, settings = KINDS[request.param]
    arrays = {} if names is None else {"class_names": np.array(names)}
    path = tmp_path / "set.npz"
    np.savez(path, images=IMAGES[:600], labels=labels[:600], **arrays)
    return small_config(data__source=f"npz:{path}", **(WITHOUT | settings))


@pytest.mark.slow
def test_a_run_trains_resumes_scores_and_predicts(tmp_path, kind, recorder):
    whole = train(kind, tmp_path / "whole", recorder)
    assert np.isfinite(whole.test.loss)
    for step in (3, 8):
        with pytest.raises(Interrupted):
            train(kind, tmp_path / "run", StopAt(recorder, step))
    cut = train(kind, tmp_path / "run", recorder)
    assert_same(cut.state, whole.state)
    assert cut.test == whole.test == evaluate_run(tmp_path / "run", "test")

    trained = cnnjax.load(tmp_path / "run")
    outputs = evaluate_step(tmp_path / "run", "test", keep_outputs=True).outputs
    found = cnnjax.evaluate(tmp_path / "run", kind.data.source)
    assert found.metrics.keys() == whole.test.metrics.keys()
    predictions = trained.predict(IMAGES[:5])
    if kind.loss.name in ("mse", "huber"):
        values = [[*prediction.values.values()] for prediction in predictions]
        np.testing.assert_allclose(values, trained.logits(IMAGES[:5]))
        with pytest.raises(ConfigError, match="predicts numbers"):
            trained.predict_proba(IMAGES[:5])
        assert whole.test.accuracy is None
        assert "accuracy" not in recorder.records[-1]
        assert whole.test.loss == pytest.approx(outputs.losses.mean(), rel=1e-6)
    elif kind.loss.name == "sigmoid":
        likely = trained.predict_proba(IMAGES[:5]) > 0.5
        for row, prediction in zip(likely, predictions, strict=True):
            assert prediction.labels == tuple(np.flatnonzero(row))
        unknown = outputs.labels < 0
        right = ((outputs.predictions == outputs.labels) | unknown).all(1)
        assert whole.test.accuracy == right.mean()
    else:
        shares = trained.predict_proba(IMAGES[:5])
        assert [p.label for p in predictions] == shares.argmax(1).tolist()
        known = outputs.known()
        assert len(known.labels) == whole.test.examples
        assert whole.test.accuracy == np.mean(known.classes == known.predictions)


@pytest.mark.slow
def test_the_gradients_of_a_run_are_right(kind):
    assert compare_problem(make_problem(kind)).ok


@pytest.mark.slow
def test_the_step_takes_the_mean_over_the_weights(kind):
    """Of losses that are computed one example at a time."""
    experiment = make_experiment(kind)
    if experiment.dataset.task != "classification":
        return
    step = make_train_step(kind, experiment)
    model = step.model.clone(dropout=0.0)
    step = replace(step, model=model, axis_name=None, crop_padding=0, mixings=())
    state = make_run_state(experiment, kind, None)
    split = experiment.dataset.train
    images, labels = split.images[:64], split.labels[:64]
    batch = cnnjax.data.Batch(
        images, np.maximum(labels, 0), np.float32((labels >= 0).reshape(64, -1)[:, 0])
    )
    x = cnnjax.data.normalize(images, experiment.normalization)
    logits = step.model.apply(
        {"params": state.params, **state.statistics}, x, train=False
    )
    total = weight = 0.0
    for i in range(64):
        if batch.weights[i]:
            own = experiment.class_weights @ (
                labels[i] if labels.ndim == 2 else np.eye(10)[labels[i]]
            )
            loss = experiment.loss(logits[i : i + 1], labels[i : i + 1])[0]
            total, weight = total + own * float(loss), weight + own
    _, metrics = jax.jit(step)(state, batch)
    assert float(metrics.loss) == pytest.approx(total / weight, rel=1e-4)


@pytest.mark.slow
def test_a_batch_of_unknown_examples_changes_nothing_but_decay(tmp_path, small_config):
    experiment = make_experiment(small_config())
    step = replace(make_train_step(small_config(), experiment), axis_name=None)
    state = make_run_state(experiment, small_config(), None)
    batch = cnnjax.data.Batch(IMAGES[:8], np.zeros(8, np.int32), np.zeros(8, "f"))
    found = step.gradients(state, batch)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(found.grads))
    after, metrics = step.update(state, found)
    assert (float(metrics.loss), float(metrics.accuracy)) == (0, 0)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after.params))


@pytest.mark.slow
def test_the_command_line_tells_numbers_and_sets(tmp_path, small_config, capsys):
    for name, (labels, names, settings) in list(KINDS.items())[:2]:
        path, run = tmp_path / f"{name}.npz", str(tmp_path / name)
        np.savez(
            path, images=IMAGES[:200], labels=labels[:200], class_names=np.array(names)
        )
        config = small_config(data__source=f"npz:{path}", **(WITHOUT | settings))
        cnnjax.train(config, workdir=run, progress="none")
        rows = str(tmp_path / "rows.csv")
        for words in (["--report", f"--predictions={rows}"], []):
            assert main(["evaluate", f"--workdir={run}", *words]) == 0
        report, score = capsys.readouterr().out.rsplit("\n", 2)[:2]
        assert ("each output" in report) == (name == "numbers")
        assert all(each in report for each in names)
        assert ("accuracy" in json.loads(score)) == (name == "several")
        head = (tmp_path / "rows.csv").read_text().splitlines()[0].split(",")
        assert {f"{what}_{n}" for what in ("label", "prediction") for n in names} <= {
            *head
        }
        for form in ("table", "json", "jsonl", "csv"):
            words = ["predict", f"--workdir={run}", str(path), f"--format={form}"]
            assert main(words) == 0
            out = capsys.readouterr().out
            assert names[0] in out
            if form == "json":
                key = "values" if name == "numbers" else "classes"
                assert key in json.loads(out)[0]


@pytest.mark.parametrize(
    ("labels", "settings", "message"),
    [
        (FLAGS, {}, "for this loss, expected class numbers"),
        (NUMBERS / 10, {}, "'mse' or 'huber' for numbers"),
        (
            NUMBERS,
            {"loss__name": "mse", "metrics": "('auc',)"},
            "for classification or multilabel, but .* for regression, expected one of"
            " mae, mse, rmse, r2",
        ),
        (NUMBERS, {"loss__name": "mse", "monitor": "accuracy"}, "monitor"),
        (
            FLAGS,
            {"loss__name": "sigmoid", "metrics": "('top1',)"},
            "'top1', which is for classification or segmentation, but",
        ),
        (NUMBERS, {"loss__name": "huber", "loss__focal_gamma": "2"}, "no such setting"),
        (NUMBERS, {"loss__name": "mse", "loss__label_smoothing": "0.1"}, "no such"),
        (NUMBERS, {"loss__class_weights": "(1, 2)"}, "one number for each of the 10"),
        (NUMBERS, {"loss__name": "mse", "loss__class_weights": "(1,)"}, "no classes"),
        (
            FLAGS,
            {"loss__name": "sigmoid", "data__sampling": "balanced"},
            "only examples of one class each can be balanced",
        ),
    ],
)
def test_settings_that_contradict_the_labels(
    tmp_path, small_config, labels, settings, message
):
    np.savez(tmp_path / "set.npz", images=IMAGES[:300], labels=labels[:300])
    source = f"npz:{tmp_path}/set.npz"
    config = small_config(data__source=source, **(WITHOUT | settings))
    with pytest.raises((ConfigError, DataError), match=message):
        make_experiment(config)


@pytest.mark.slow
def test_arrays_mean_what_the_loss_says(tmp_path):
    """As they do in a file."""
    settings = {"duration": "2 steps", "model.widths": (4,), "loss.name": "mse"}
    settings["report"] = ("jsonl",)
    data = IMAGES[:300], NUMBERS[:300]
    run = cnnjax.train(settings, data=data, workdir=tmp_path / "a", progress="none")
    assert run.test.accuracy is None
    one_hot = IMAGES[:300], np.eye(10, dtype=int)[NUMBERS[:300]]
    settings["loss.name"] = "softmax"
    run = cnnjax.train(settings, data=one_hot, workdir=tmp_path / "b", progress="none")
    assert run.predict(IMAGES[0]).label in range(10)


@pytest.mark.slow
def test_other_data_may_lack_a_class_that_a_model_knows(tmp_path, small_config, capfd):
    labels, names, settings = KINDS["several"]
    raw = cnnjax.data.RawDataset((IMAGES[:300], labels[:300]), class_names=names)
    config = small_config(**(WITHOUT | settings | {"metrics": "()"}))
    run = cnnjax.train(config, data=raw, workdir=tmp_path / "run", progress="none")
    some = cnnjax.data.RawDataset(
        (IMAGES[:50], labels[:50, [2, 0]]), class_names=["eight", "even"]
    )
    found = run.evaluate(some)
    assert "no labels for large, which are ignored" in capfd.readouterr().err
    guesses = run.trained.logits(IMAGES[:50])[:, [2, 0]] > 0
    assert found.accuracy == np.mean((guesses == labels[:50, [2, 0]]).all(1))


def test_soft_labels_are_smoothed_as_class_numbers_are():
    logits, labels = np.float32([[1, -2, 0.5, 0.3]]), np.array([1])
    for name in ("softmax", "sigmoid"):
        loss = make_loss(name, LossOptions(label_smoothing=0.1))
        soft = loss(logits, np.eye(4, dtype=np.float32)[labels])
        np.testing.assert_allclose(soft, loss(logits, labels), rtol=1e-6)
