"""The setting ``backend``: whose kernels a run is computed by, and what is told."""

import pytest

from cnnjax.errors import ConfigError
from cnnjax.native import library
from cnnjax.ops import backend
from cnnjax.ops.backend import VARIABLE
from cnnjax.train.machine import numerics
from cnnjax.train.machine.compile import lower_step, make_evaluation, make_initial_state
from cnnjax.train.machine.devices import devices_of
from cnnjax.train.run.evaluate_run import evaluate_run
from cnnjax.train.run.experiment import make_experiment
from cnnjax.train.run.loop import train
from tests.support.native.instructions import HAS_AVX512

TARGET = "cnnjax_conv"


@pytest.fixture(autouse=True)
def unchosen(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def without_library(monkeypatch):
    monkeypatch.setattr(library, "status", lambda: library.Status(None, "no compiler"))


@pytest.fixture
def with_library():
    loaded, reason = library.status()
    if loaded is None:
        pytest.skip(reason)


def step_text(config):
    experiment, devices = make_experiment(config), devices_of(config)
    state = devices.put_state(make_initial_state(experiment, config))
    return lower_step(config, experiment, devices, state).as_text()


@pytest.mark.slow
def test_each_backend_reaches_the_step(with_library, small_config):
    assert TARGET not in step_text(small_config(backend="xla"))
    text = step_text(small_config(backend="native"))
    assert TARGET in text
    assert "stablehlo.convolution" not in text


def test_native_computes_bfloat16_or_is_refused(with_library, small_config):
    config = small_config(backend="native", precision="bfloat16")
    if HAS_AVX512:
        assert "stablehlo.convolution" not in step_text(config)
    else:
        with pytest.raises(
            ConfigError, match=r"^backend is.*bfloat16 x .*; use 'auto'"
        ):
            step_text(config)


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_scoring_is_traced_with_the_backend_too(small_config, monkeypatch, parallel):
    seen = []
    monkeypatch.setattr(numerics, "backend", lambda name: _noting(seen, name))
    config = small_config(backend="xla", parallel=parallel)
    experiment, devices = make_experiment(config), devices_of(config)
    state = devices.put_state(make_initial_state(experiment, config))
    seen.clear()
    make_evaluation(config, experiment, devices)(state, experiment.dataset.test)
    assert set(seen) == {"xla"}


def _noting(seen, name):
    seen.append(name)
    return backend(name)


def test_auto_leaves_the_choice_to_the_environment(small_config, monkeypatch):
    monkeypatch.setenv(VARIABLE, "xla")
    assert TARGET not in step_text(small_config())
    assert numerics.describe_backend(small_config(), "cpu") == "XLA's kernels"


def test_a_backend_by_name_overrules_the_environment(small_config, monkeypatch):
    monkeypatch.setenv(VARIABLE, "native")
    assert TARGET not in step_text(small_config(backend="xla"))


def test_native_is_refused_where_there_is_none(
    without_library, small_config, tmp_path, recorder
):
    with pytest.raises(ConfigError, match=r"'native', which cannot be used: no comp.*"):
        train(small_config(backend="native"), tmp_path / "run", recorder)
    assert not (tmp_path / "run").exists()


def test_native_is_refused_for_stock_gradients_and_other_devices(
    small_config, monkeypatch
):
    with pytest.raises(ConfigError, match="'autodiff' runs JAX's own operations"):
        make_experiment(small_config(backend="native", gradients="autodiff"))
    monkeypatch.setattr(numerics.jax, "default_backend", lambda: "gpu")
    with pytest.raises(ConfigError, match="on CPUs only, and the devices here are gpu"):
        make_experiment(small_config(backend="native"))


def test_other_names_are_refused(small_config):
    with pytest.raises(ConfigError, match="backend is 'mkl', expected 'auto', 'nativ"):
        small_config(backend="mkl")


@pytest.mark.slow
def test_a_resumed_run_tells_of_other_kernels(
    with_library, small_config, tmp_path, recorder
):
    train(small_config(), tmp_path / "run", recorder)
    train(small_config(duration="13 steps"), tmp_path / "run", recorder)
    assert not any("last digits" in text for text in recorder.messages)
    other = small_config(duration="14 steps", backend="xla")
    train(other, tmp_path / "run", recorder)
    told = "and resumes on XLA's kernels: its numbers will differ in the last digits"
    assert any(told in text for text in recorder.messages)


@pytest.mark.slow
def test_a_native_run_is_scored_where_there_is_none(
    with_library, small_config, tmp_path, recorder, monkeypatch, capsys
):
    config = small_config(duration="2 steps", backend="native")
    expected = train(config, tmp_path / "run", recorder).test
    status = library.Status(None, "no compiler")
    monkeypatch.setattr(library, "status", lambda: status)
    score = evaluate_run(tmp_path / "run", "test")
    assert score.loss == pytest.approx(expected.loss, rel=1e-5)
    assert "'native', which cannot be used: no compiler" in capsys.readouterr().err


def test_the_former_name_of_native_is_no_difference():
    before = {"kernels": "oneDNN 3.2.0, AVX2, 2 threads, backend onednn", "devices": 2}
    now = {"kernels": "oneDNN 3.2.0, AVX2, 2 threads, backend native", "devices": 2}
    assert numerics.differences(before, now) == []
    assert len(numerics.differences({**before, "devices": 1}, now)) == 1
