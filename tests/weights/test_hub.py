"""Weights from the Hugging Face hub, served by a stand-in."""

import sys

import jax
import jax.numpy as jnp
import pytest
from huggingface_hub import constants

from cnnjax.errors import WeightsError
from cnnjax.models import load_weights, make_model, save_weights
from cnnjax.weights.hub import download
from tests.support.train.faults import assert_same
from tests.support.weights.hub_server import COMMIT, serving

OPTIONS = {"widths": (2,), "dense": (3,)}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The stand-in, with one repository."""
    with serving(monkeypatch, tmp_path / "cache") as server:
        server.files["me/net"] = {"model.safetensors": b"tensors", "in/it.bin": b"more"}
        yield server


@pytest.mark.parametrize(
    ("reference", "file", "content"),
    [
        ("hf:me/net", "model.safetensors", b"tensors"),
        ("hf:me/net@v1", "model.safetensors", b"tensors"),
        (f"hf:me/net@{COMMIT}:in/it.bin", "in/it.bin", b"more"),
    ],
)
def test_a_file_is_downloaded_once_and_resolved_to_a_commit(
    hub, reference, file, content
):
    for _ in range(2):
        found = download(reference)
        assert found.path.read_bytes() == content
        assert found.source == f"hf:me/net@{COMMIT}:{file}"
    assert [method for method, _ in hub.asked].count("GET") == 1
    asked = len(hub.asked)
    assert download(found.source) == found  # a commit never changes
    assert len(hub.asked) == asked


def test_other_files_are_looked_for_in_their_order(hub):
    hub.files["me/net"] = {"pytorch_model.bin": b"pickled"}
    assert download("hf:me/net").source.endswith(":pytorch_model.bin")


def test_without_a_connection_the_earlier_download_is_used(hub):
    found = download("hf:me/net")
    hub.broken = True
    assert download("hf:me/net") == found


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("hf:net", "expected hf:OWNER/NAME"),
        ("hf:me/net@v1@v2", "expected hf:OWNER/NAME"),
        ("hf:me/other", "the hub has no such repository, or a private one"),
        ("hf:me/net@v9", "the repository has no revision v9"),
        ("hf:me/net:a.bin", r"the repository has no a\.bin; name one"),
        ("hf:me/empty", r"has no model\.safetensors or pytorch_model\.bin"),
        ("hf:me/net:../../x", "hf:me/net:../../x cannot be used"),
    ],
)
def test_what_is_not_there_is_told_in_one_sentence(hub, reference, message):
    hub.files["me/empty"] = {}
    with pytest.raises(WeightsError, match=message) as caught:
        download(reference)
    assert "\n" not in str(caught.value)


def test_a_hub_that_fails_or_is_away_is_told(hub, monkeypatch):
    hub.broken = True
    with pytest.raises(WeightsError, match=r"500 .*has not been downloaded before"):
        download("hf:me/net")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match=r"offline mode .*not been downloaded"):
        download("hf:me/net")


def test_the_package_that_is_needed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(WeightsError, match=r"pip install 'cnnjax\[hub\]'"):
        download("hf:me/net")


@pytest.mark.slow
def test_weights_load_into_a_network(hub, tmp_path):
    model = make_model("simple_cnn", num_classes=4, **OPTIONS)
    images = jnp.zeros((1, 4, 4, 1))
    variables = model.init(jax.random.key(3), images, train=False)
    save_weights(model, variables, tmp_path / "file")
    hub.files["me/cnn"] = {"model.safetensors": (tmp_path / "file").read_bytes()}
    shape = {"num_classes": 4, "image_shape": (4, 4, 1)}
    assert_same(load_weights("simple_cnn", "hf:me/cnn", **shape, **OPTIONS), variables)
    hub.files["me/cnn"] = {"model.safetensors": b"no tensors"}
    hub.commit = COMMIT[::-1]
    with pytest.raises(WeightsError, match=r"neither a torch\.save file nor"):
        load_weights("simple_cnn", "hf:me/cnn", **shape, **OPTIONS)
