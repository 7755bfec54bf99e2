"""docs/weights.md: its examples, and the sentences that it quotes."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from cnnjax.errors import WeightsError
from cnnjax.models import MODELS, load_weights, make_model, save_weights
from tests.support.weights.pickles import archive

PAGE = (Path(__file__).parents[2] / "docs" / "weights.md").read_text()
TEXT = PAGE.replace("\n", " ")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def save(name):
    """A file of zeros for a network."""
    model = make_model(name, num_classes=1000)
    images = jnp.zeros((1, 32, 32, 3))
    shapes = jax.eval_shape(
        lambda key: model.init(key, images, False), jax.random.key(0)
    )
    variables = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    save_weights(model, variables, f"{name}.pth", "torch")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_examples_run(folder):
    save("resnet18")
    names = {"images": jnp.zeros((1, 32, 32, 3))}
    inward, outward, in_pytorch = EXAMPLES
    exec(inward, names)
    assert names["logits"].shape == (1, 1000)
    exec(outward, names)
    assert (folder / "resnet18.safetensors").exists()
    assert "torchvision" in in_pytorch


def test_the_error_of_another_network():
    save("resnet34")
    with pytest.raises(WeightsError) as caught:
        load_weights("resnet18", "resnet34.pth")
    quoted = str(caught.value).partition(", layer1.2.bn1.running_var")[0]
    assert f"{quoted}, ..." in TEXT


def test_the_error_of_a_pickled_network(folder):
    pickle = b"\x80\x02ctorchvision.models.resnet\nResNet\n)R."
    (folder / "model.pth").write_bytes(archive(pickle))
    with pytest.raises(WeightsError) as caught:
        load_weights("resnet18", "model.pth")
    assert str(caught.value) in TEXT


def test_the_networks_exist():
    table = PAGE[PAGE.index("| network |") : PAGE.index("Both EfficientNets")]
    rows = [line.split("|")[1] for line in table.splitlines()[2:] if line]
    assert {*re.findall(r"`(\w+)`", "".join(rows))} <= {*MODELS}
