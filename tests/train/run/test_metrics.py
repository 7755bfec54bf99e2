"""The metrics of a run: in its records, and as what decides which state is the best."""

import math

import numpy as np
import pytest

from cnnjax.data.tasks import CLASSIFICATION
from cnnjax.errors import ConfigError, Interrupted
from cnnjax.metrics import METRICS, Metric
from cnnjax.train.run.evaluate_run import evaluate_run
from cnnjax.train.run.loop import train
from cnnjax.train.run.metrics import Monitor, make_metrics, make_monitor
from tests.support.train.faults import StopAt, assert_same
from tests.support.train.restless import RESTLESS

MEASURED = RESTLESS | {"metrics": "('top3', 'calibration_error', 'auc')"}


def validations(recorder, name):
    return {r["step"]: r[name] for r in recorder.records if r["kind"] == "validation"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "best_of"), [("calibration_error", min), ("auc", max)]
)
def test_a_metric_decides_and_a_cut_run_ends_the_same(
    tmp_path, small_config, recorder, name, best_of
):
    config = small_config(**MEASURED, monitor=name)
    whole = train(config, tmp_path / "whole", recorder)
    values = validations(recorder, name)
    best, last = best_of(values, key=values.get), max(values)
    assert last == best + 4 * 3 < 300
    assert int(whole.state.step) == best
    assert evaluate_run(tmp_path / "whole", "validation").metrics[name] == values[best]
    for step in (4, last - 5):
        with pytest.raises(Interrupted):
            train(config, tmp_path / "run", StopAt(recorder, step))
    cut = train(config, tmp_path / "run", recorder)
    assert_same(cut.state, whole.state)
    assert cut.test == whole.test


@pytest.mark.slow
def test_every_metric_is_reported_whatever_the_batch_size(
    tmp_path, small_config, recorder
):
    names = [name for name in METRICS if CLASSIFICATION in METRICS[name].tasks]
    names = ["top1", "top10", *names]
    settings = {"metrics": repr(tuple(names)), "loss__label_smoothing": "0"}
    config = small_config(**settings)
    test = train(config, tmp_path / "run", recorder).test
    assert [*test.metrics] == names
    assert test.metrics["top1"] == pytest.approx(test.accuracy)
    assert test.metrics["top10"] == 1
    assert test.metrics["log_loss"] == pytest.approx(test.loss)
    assert test.metrics.items() <= recorder.records[-1].items()
    assert evaluate_run(tmp_path / "run", "test") == test
    smaller = small_config(**settings, eval_batch_size="7")
    again = train(smaller, tmp_path / "run", recorder).test
    np.testing.assert_allclose(
        [*again.metrics.values()], [*test.metrics.values()], rtol=1e-5
    )


@pytest.mark.slow
def test_without_label_smoothing_the_log_loss_is_another(
    tmp_path, small_config, recorder
):
    config = small_config(metrics="log_loss", loss__label_smoothing="0.3")
    test = train(config, tmp_path / "run", recorder).test
    assert abs(test.metrics["log_loss"] - test.loss) > 1e-3


@pytest.fixture
def metrics():
    own = Metric(lambda logits, labels: labels, None, is_mean=True)
    return make_metrics(("auc", "log_loss")) | {"own": own}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("loss", Monitor("loss", False)),
        ("accuracy", Monitor("accuracy", True)),
        ("auc", Monitor("auc", True)),
        ("max:auc", Monitor("auc", True)),
        ("log_loss", Monitor("log_loss", False)),
        ("max:own", Monitor("own", True)),
        ("min:own", Monitor("own", False)),
    ],
)
def test_a_monitor_has_a_direction(metrics, text, expected):
    assert make_monitor(text, metrics) == expected


def test_a_bad_monitor_is_refused_before_data_is_read(tmp_path, small_config, recorder):
    config = small_config(monitor="auc", data__source="npz:/nowhere.npz")
    with pytest.raises(ConfigError, match="add it to the setting metrics"):
        train(config, tmp_path / "run", recorder)


@pytest.mark.slow
def test_a_metric_may_be_added_and_monitored_on_the_way(
    tmp_path, small_config, recorder
):
    train(small_config(), tmp_path / "run", recorder)
    settings = {"metrics": "auc", "monitor": "auc", "duration": "30 steps"}
    train(small_config(**settings), tmp_path / "run", recorder)
    values = [r.get("auc", math.nan) for r in recorder.records]
    assert math.isnan(values[0])
    assert 0.5 < values[-1] <= 1
