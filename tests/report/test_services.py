"""Reports to Weights & Biases and to MLflow, whose packages are stood in for here."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from cnnjax.errors import ConfigError
from cnnjax.report.services import SERVICES
from tests.report.test_tensorboard import EVIL, INFO, outputs, train


class Package:
    """Notes all calls of its functions, and of those of the run that it begins."""

    def __init__(self, error=None):
        self.calls, self.error = [], error
        self.id, self.info = "abc-1", SimpleNamespace(run_id="abc-1")
        self.Image = lambda picture: picture.size

    def __getattr__(self, name):
        def call(*args, **options):
            self.calls.append((name, args, options))
            if self.error and name.startswith("log"):
                raise self.error
            return self

        return call

    def of(self, name):
        return [
            (args, options) for called, args, options in self.calls if called == name
        ]


def make(name, tmp_path, monkeypatch, package, told=None):
    monkeypatch.setitem(sys.modules, name, package)
    tell = [].append if told is None else told.append
    return SERVICES[name](name, tmp_path, {"seed": 3, "metrics": ("auc",)}, tell)


@pytest.mark.parametrize("name", SERVICES)
def test_a_missing_package_is_named_with_what_installs_it(name, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=f"run pip install {name}"):
        make(name, tmp_path, monkeypatch, None)


def report(service):
    service.start(INFO)
    service.log(train(2, learning_rate=0.1))
    service.layers(4, {"dead_units/a#2": 0.5}, {"weights/a": np.ones(2)})
    service.outputs("test", 5, outputs(3), None)
    service.end({"step": 5, "reason": "finished"})
    service.close()


def test_wandb_gets_numbers_by_step_and_the_same_run_after_a_resume(
    tmp_path, monkeypatch
):
    package = Package()
    report(make("wandb", tmp_path, monkeypatch, package))
    logged = [args[0] for args, _ in package.of("log")]
    assert logged[:2] == [
        {"step": 2, "epoch": 2 / 9, "train/loss": 0.5, "lr": 0.1},
        {"step": 4, "dead_units/a#2": 0.5},
    ]
    assert logged[2].keys() == {"step", "test/confusion"}
    assert package.of("finish") == [((), {"exit_code": 0})]
    report(make("wandb", tmp_path, monkeypatch, package))
    (_, first), (_, second) = package.of("init")
    assert (first["id"], second["id"]) == (None, "abc-1")
    assert first["config"] == {"seed": 3, "metrics": "('auc',)"}


def test_mlflow_gets_numbers_by_step_and_the_same_run_after_a_resume(
    tmp_path, monkeypatch
):
    package = Package()
    report(make("mlflow", tmp_path, monkeypatch, package))
    assert package.of("log_metrics") == [
        (({"epoch": 2 / 9, "train/loss": 0.5, "lr": 0.1},), {"step": 2}),
        (({"dead_units/a_2": 0.5},), {"step": 4}),
    ]
    ((_, options),) = package.of("log_image")
    assert options == {"artifact_file": "test/confusion_00000005.png"}
    assert package.of("end_run") == [(("FINISHED",), {})]
    report(make("mlflow", tmp_path, monkeypatch, package))
    assert [options["run_id"] for _, options in package.of("start_run")] == [
        None,
        "abc-1",
    ]
    assert len(package.of("log_params")) == 1


def test_a_run_that_an_error_ended_has_not_succeeded(tmp_path, monkeypatch):
    package = Package()
    service = make("wandb", tmp_path, monkeypatch, package)
    service.start(INFO)
    service.close()
    assert package.of("finish") == [((), {"exit_code": 1})]


def test_a_failure_is_told_once_and_does_not_end_the_run(tmp_path, monkeypatch):
    told, package = [], Package(ValueError("no network"))
    service = make("wandb", tmp_path, monkeypatch, package, told)
    service.start(INFO)
    for step in (1, 2):
        service.log(train(step))
    service.close()
    assert told == ["wandb failed: no network; training continues"]


@pytest.mark.parametrize("content", ["{", "[]", '{"id": 3}', json.dumps({"id": EVIL})])
def test_a_damaged_name_of_the_run_is_refused(tmp_path, monkeypatch, content):
    (tmp_path / "mlflow.json").write_text(content)
    package = Package()
    with pytest.raises(ConfigError, match="report: mlflow cannot start"):
        make("mlflow", tmp_path, monkeypatch, package).start(INFO)
    assert not package.calls
