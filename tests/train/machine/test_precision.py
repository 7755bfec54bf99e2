"""The setting ``precision``: what is bfloat16 in mixed precision, and what is not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import models
from cnnjax.errors import ConfigError, Interrupted
from cnnjax.report import Reporters
from cnnjax.train.machine import numerics
from cnnjax.train.run.evaluate_run import evaluate_run
from cnnjax.train.run.experiment import make_experiment
from cnnjax.train.run.loop import train
from cnnjax.train.run.verify_resume import verify_resume
from tests.support.shallow import shallow
from tests.support.train.faults import StopAt, assert_same
from tests.train.conftest import CONFIGS

FLAGS = {"none": "avx2 fma", "products": "avx2 avx512_bf16", "tiles": "amx_bf16"}


@pytest.fixture
def half(small_config):
    """A config of 12 steps in bfloat16, with batch normalization."""

    def make(**changes):
        return small_config(
            **{"precision": "bfloat16", "model__batch_norm": "true"} | changes
        )

    return make


@pytest.mark.parametrize("name", models.MODELS)
def test_every_model_computes_in_bfloat16_with_float32_weights_and_logits(name):
    model = models.make_model(name, num_classes=7, dtype="bfloat16", **shallow(name))
    spatial = {1: (64,), 2: (32, 40), 3: (4, 8, 6)}[getattr(model, "rank", 2)]
    x = jax.ShapeDtypeStruct((2, *spatial, 2), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    logits, variables = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, train=False), key, x
    )
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.float32.dtype}
    traced = jax.jit(lambda v, x: model.apply(v, x, train=False)).trace(variables, x)
    for platform in ("cpu", "tpu"):
        lines = traced.lower(lowering_platforms=(platform,)).as_text().splitlines()
        convolutions = [line for line in lines if is_conv(line)]
        # On some CPUs, those of volumes are matrix products.
        assert convolutions or (platform == "cpu" and len(spatial) == 3)
        assert all("bf16" in line and "f32" not in tail(line) for line in convolutions)


def is_conv(line):
    return "stablehlo.convolution" in line or "@cnnjax_conv" in line


def tail(line):
    return line.rpartition(" : ")[2].replace("bf16", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"gradients": "autodiff"},
        {"parallel": "pmap", "average_decay": "0.9"},
        {"accumulate_steps": "2", "shard_optimizer": "true"},
    ],
)
def test_the_state_stays_float32_and_the_loss_is_near(
    tmp_path, half, recorder, changes
):
    state = train(half(**changes), tmp_path / "half", recorder).state
    for tree in (state.params, state.statistics, state.opt_state, state.average):
        dtypes = {leaf.dtype for leaf in jax.tree.leaves(tree)}
        assert dtypes <= {jnp.float32.dtype, jnp.int32.dtype}
    ours = [record["loss"] for record in recorder.steps]
    recorder.steps.clear()
    train(half(precision="float32", **changes), tmp_path / "whole", recorder)
    whole = [record["loss"] for record in recorder.steps]
    assert ours != whole
    # Three digits a product, and twelve steps that build on each other.
    np.testing.assert_allclose(ours, whole, rtol=0.02)


@pytest.mark.slow
def test_a_stopped_run_resumes_bit_for_bit(tmp_path, half, recorder):
    config = half(average_decay="0.9", checkpoint__every="5 steps")
    expected = train(config, tmp_path / "whole", recorder)
    with pytest.raises(Interrupted):
        train(config, tmp_path / "run", StopAt(recorder, 7))
    result = train(config, tmp_path / "run", recorder)
    assert_same(result.state, expected.state)
    assert result.test == expected.test
    assert evaluate_run(tmp_path / "run", "test") == expected.test


@pytest.mark.slow
def test_resuming_is_certified():
    changes = {"model.widths": "(2,)", "model.dense": "()", "precision": "bfloat16"}
    told = []
    path = str(CONFIGS / "digits.py")
    assert verify_resume(
        path, changes, steps=6, pieces=2, reporter=Reporters(), tell=told.append
    )
    assert "bit for bit" in told[-1]


@pytest.mark.slow
def test_a_resumed_run_may_change_its_precision(tmp_path, half, recorder):
    train(half(), tmp_path / "run", recorder)
    train(half(precision="float32", duration="14 steps"), tmp_path / "run", recorder)
    told = (
        "changed setting precision: 'bfloat16' -> 'float32'; the numbers will differ"
        " from about the third digit"
    )
    assert told in recorder.messages
    assert recorder.steps[-1]["step"] == 14


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "expected"),
    [("none", "has no instructions"), ("products", "may be slower"), ("tiles", None)],
)
def test_a_slow_cpu_is_told_of(tmp_path, half, recorder, monkeypatch, flags, expected):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {FLAGS[flags]}\n")
    monkeypatch.setattr(numerics, "CPUINFO", tmp_path / "cpuinfo")
    train(half(duration="1 step"), tmp_path / "run", recorder)
    told = [text for text in recorder.messages if "precision is 'bfloat16'" in text]
    assert len(told) == (expected is not None)
    assert all(expected in text for text in told)
    assert numerics.why_slow("bfloat16", "gpu") == ""
    assert numerics.why_slow("float32", "cpu") == ""


def test_other_precisions_are_refused(small_config):
    expected = (
        r"precision is 'float16', expected 'float32' or 'bfloat16' \(float16 loses"
    )
    with pytest.raises(ConfigError, match=expected):
        small_config(precision="float16")
    with pytest.raises(
        ConfigError, match=r"model.dtype cannot be set: it comes from .* precision"
    ):
        make_experiment(small_config(model__dtype="bfloat16"))


def test_a_model_without_dtype_is_refused(small_config, monkeypatch):
    class Whole(models.nn.Module):
        num_classes: int

    known = {**models.MODELS, "whole": Whole}
    monkeypatch.setattr("cnnjax.train.run.experiment.MODELS", known)
    config = small_config(model__name="whole", precision="bfloat16")
    for option in ("widths", "dense", "dropout", "batch_norm"):
        if option in config.model:
            del config.model[option]
    with pytest.raises(ConfigError, match="model 'whole' has no field dtype"):
        make_experiment(config)
