"""What a replay starts from: other weights, and other devices."""

import jax
import jax.numpy as jnp
import pytest

from cnnjax.errors import ConfigError
from cnnjax.models import make_model, save_weights
from cnnjax.train.run.loop import train
from cnnjax.train.run.replay import replay
from cnnjax.train.run.replay_start import _check_devices
from tests.support.train.faults import assert_same
from tests.support.weights.hub_server import serving
from tests.support.weights.small_resnet import SETTINGS, write_for_colors

OPTIONS = {"widths": (4, 8), "dense": (16,)}


def write(path, seed):
    model = make_model("simple_cnn", num_classes=10, **OPTIONS)
    variables = model.init(jax.random.key(seed), jnp.zeros((1, 8, 8, 1)), train=False)
    save_weights(model, variables, path)


def trained(config, folder, recorder):
    """The states of a run, by their steps."""
    states = {}

    def watch(state):
        states[int(state.step)] = jax.device_get(state)

    train(config, folder, recorder, watch_state=watch)
    return states


def check_replay(folder, states):
    """Replays step 2 from the start of the run, and compares the state before it."""
    found = replay(folder, 2)
    assert (found.start, found.is_exact) == (0, True)
    assert_same(found.before, states[1])


@pytest.mark.slow
def test_a_file_of_weights(tmp_path, small_config, recorder):
    file = tmp_path / "base.safetensors"
    write(file, 7)
    config = small_config(init_from=f"safetensors:{file}", duration="3 steps")
    states = trained(config, tmp_path / "run", recorder)
    check_replay(tmp_path / "run", states)
    write(file, 8)
    with pytest.raises(ConfigError, match=r"which has changed: the run noted SHA-256"):
        replay(tmp_path / "run", 2)
    file.unlink()
    with pytest.raises(
        ConfigError, match=r"step 2 has no checkpoint .* cannot be read"
    ):
        replay(tmp_path / "run", 2)


@pytest.mark.slow
def test_weights_of_the_hub(tmp_path, small_config, recorder, monkeypatch):
    file = tmp_path / "base.safetensors"
    write(file, 7)
    config = small_config(init_from="hf:me/net", duration="3 steps")
    with serving(monkeypatch, tmp_path / "cache") as server:
        server.files["me/net"] = {"model.safetensors": file.read_bytes()}
        states = trained(config, tmp_path / "run", recorder)
        server.broken = True  # the very commit is in the cache
        check_replay(tmp_path / "run", states)


@pytest.mark.slow
@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_weights_with_the_names_of_a_library(tmp_path, small_config, recorder, library):
    write_for_colors(tmp_path / "base.pth", num_classes=5)
    start = f"{library}:{tmp_path / 'base.pth'}"
    config = small_config(init_from=start, duration="3 steps", **SETTINGS)
    states = trained(config, tmp_path / "run", recorder)
    check_replay(tmp_path / "run", states)


@pytest.mark.slow
def test_the_weights_of_a_run(tmp_path, small_config, recorder):
    train(small_config(duration="2 steps"), tmp_path / "old", recorder)
    config = small_config(init_from=str(tmp_path / "old"), duration="3 steps", seed="1")
    states = trained(config, tmp_path / "run", recorder)
    assert_same(replay(tmp_path / "run", 2).after, states[2])
    train(small_config(duration="3 steps"), tmp_path / "old", recorder)
    with pytest.raises(ConfigError, match="which has changed"):
        replay(tmp_path / "run", 2)


def test_a_run_of_several_processes_needs_as_many_devices(capsys):
    then = "4 x cpu (cpu), 2 processes"
    message = "replay runs in one process, here on cpu .* one process has 4 devices"
    with pytest.raises(ConfigError, match=message):
        _check_devices(then, "cpu (cpu)")
    _check_devices(then, "4 x cpu (cpu)")
    assert "numbers may differ" in capsys.readouterr().err
    _check_devices("cpu (cpu)", "cpu (cpu)")
    _check_devices(None, "cpu (cpu)")
    assert capsys.readouterr().err == ""
