"""Runs that start from a file of weights."""

import hashlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.errors import ConfigError
from cnnjax.models import make_model, save_weights
from cnnjax.train.run.loop import train
from tests.support.train.faults import assert_same
from tests.support.weights.hub_server import COMMIT, serving
from tests.support.weights.small_resnet import SETTINGS, write_for_colors

OPTIONS = {"widths": (4, 8), "dense": (16,)}


@pytest.fixture
def weights(tmp_path):
    """A network for three classes, its variables, and a file of them by our names."""
    model = make_model("simple_cnn", num_classes=3, **OPTIONS)
    variables = model.init(jax.random.key(7), jnp.zeros((1, 8, 8, 1)), train=False)
    save_weights(model, variables, tmp_path / "base.safetensors")
    return variables, tmp_path / "base.safetensors"


def settings(kind, file, **changes):
    return {
        "init_from": f"{kind}:{file}",
        "model__widths": "(4, 8)",
        "model__dense": "(16,)",
        "freeze": ".*",
        "duration": "2 steps",
        **changes,
    }


def test_all_but_a_head_of_another_size_is_taken(
    tmp_path, small_config, recorder, weights
):
    variables, file = weights
    config = small_config(**settings("safetensors", file))
    state = train(config, tmp_path / "run", recorder).state
    for layer in ("Conv_0", "Conv_1", "Dense_0"):
        assert_same(state.params[layer], variables["params"][layer])
    assert state.params["Dense_1"]["bias"].shape == (10,)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    told = (
        f"starting from safetensors:{file} (SHA-256 {digest[:16]}...); not loaded:"
        " Dense_1.bias, Dense_1.kernel"
    )
    assert told in recorder.messages
    (notes,) = (tmp_path / "run" / "checkpoints").glob("2/notes/metadata")
    assert json.loads(notes.read_text())["progress"]["weights"] == digest


@pytest.mark.slow
def test_the_run_goes_on_without_the_file(tmp_path, small_config, recorder, weights):
    _, file = weights
    config = small_config(**settings("torch", file, freeze=""))
    train(config, tmp_path / "run", recorder)
    file.unlink()
    longer = small_config(**settings("torch", file, freeze="", duration="4 steps"))
    assert int(train(longer, tmp_path / "run", recorder).state.step) == 4


@pytest.mark.slow
def test_a_run_from_the_hub_records_the_commit_and_resumes_without_it(
    tmp_path, small_config, recorder, weights, monkeypatch
):
    variables, file = weights
    source = f"hf:me/net@{COMMIT}:model.safetensors"
    with serving(monkeypatch, tmp_path / "cache") as hub:
        hub.files["me/net"] = {"model.safetensors": file.read_bytes()}
        config = small_config(**settings("hf", "me/net"))
        state = train(config, tmp_path / "run", recorder).state
        assert_same(state.params["Conv_1"], variables["params"]["Conv_1"])
        asked, hub.commit = len(hub.asked), COMMIT[::-1]
        longer = small_config(**settings("hf", "me/net", duration="3 steps"))
        train(longer, tmp_path / "run", recorder)
        assert len(hub.asked) == asked
        named = small_config(**settings("timm:hf", "me/net"))
        with pytest.raises(ConfigError, match="timm has no SimpleCNN"):
            train(named, tmp_path / "other", recorder)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    told = f"starting from {source} (SHA-256 {digest[:16]}...)"
    assert any(text.startswith(told) for text in recorder.messages)
    for step in (2, 3):
        (notes,) = (tmp_path / "run" / "checkpoints").glob(f"{step}/notes/metadata")
        progress = json.loads(notes.read_text())["progress"]
        assert (progress["weights"], progress["weights_source"]) == (digest, source)


def test_a_pattern_leaves_layers_out(tmp_path, small_config, recorder, weights):
    variables, file = weights
    config = small_config(**settings("safetensors", file, init_load="Conv_0.*"))
    state = train(config, tmp_path / "run", recorder).state
    assert_same(state.params["Conv_0"], variables["params"]["Conv_0"])
    old = variables["params"]["Conv_1"]["kernel"]
    assert (np.asarray(state.params["Conv_1"]["kernel"]) != old).all()


@pytest.mark.slow
def test_a_state_dict_of_pytorch_for_colors_starts_a_run_on_gray_images(
    tmp_path, small_config, recorder
):
    variables = write_for_colors(tmp_path / "base.pth", num_classes=10)
    config = small_config(
        init_from=f"torchvision:{tmp_path / 'base.pth'}",
        freeze=".*",
        duration="1 step",
        **SETTINGS,
    )
    params = train(config, tmp_path / "run", recorder).state.params
    kernel = variables["params"]["Conv_0"]["kernel"].sum(2, keepdims=True)
    np.testing.assert_allclose(params["Conv_0"]["kernel"], kernel, rtol=1e-5)
    assert_same(params["Dense_0"], variables["params"]["Dense_0"])


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (
            "torchvision",
            {},
            "torchvision has no SimpleCNN with these options",
        ),
        ("timm", {}, "timm has no SimpleCNN with these options"),
        ("torch", {"model__widths": "(4, 9)"}, "Conv_1.bias has shape (8,), expected"),
        ("torch", {"model__widths": "(4,)"}, "2 unknown: Conv_1.bias"),
        ("torch", {"model__widths": "(4, 8, 9)"}, "2 missing: Conv_2.bias"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path, small_config, recorder, weights, kind, changes, message
):
    _, file = weights
    config = small_config(**settings(kind, file, **changes))
    with pytest.raises(ConfigError) as caught:
        train(config, tmp_path / "run", recorder)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_named(tmp_path, small_config, recorder):
    config = small_config(**settings("torch", tmp_path / "no.pth"))
    with pytest.raises(OSError, match=r"no\.pth"):
        train(config, tmp_path / "run", recorder)
    empty = small_config(**settings("torch", ""))
    with pytest.raises(ConfigError, match="the file of init_from='torch:' is empty"):
        train(empty, tmp_path / "run", recorder)
