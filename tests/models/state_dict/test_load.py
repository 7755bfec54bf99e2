"""Weights by the names of torchvision, timm or ours become variables, or a sentence."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from cnnjax.errors import ConfigError, WeightsError
from cnnjax.models import load_weights, make_model
from cnnjax.models.state_dict.save import save_weights, state_dict
from cnnjax.weights import write_safetensors, write_torch
from tests.support.weights.recipe import make_array

SMALL = {"widths": (4, 6), "blocks": (1, 2), "stem": "cifar"}
"""A ResNet of three blocks, the second with a shortcut."""

STEM, HEAD = (4, 3, 3, 3), (5, 6)


@pytest.fixture(scope="module")
def arrays():
    """A state dict of torchvision's for that network, with five classes."""
    shapes = {"conv1.weight": STEM, "fc.weight": HEAD, "fc.bias": HEAD[:1]}
    norms = {"bn1": 4}
    for block, inputs, width in (
        ("layer1.0", 4, 4),
        ("layer2.0", 4, 6),
        ("layer2.1", 6, 6),
    ):
        shapes[f"{block}.conv1.weight"] = (width, inputs, 3, 3)
        shapes[f"{block}.conv2.weight"] = (width, width, 3, 3)
        norms |= {f"{block}.bn1": width, f"{block}.bn2": width}
    shapes["layer2.0.downsample.0.weight"] = (6, 4, 1, 1)
    norms["layer2.0.downsample.1"] = 6
    for norm, width in norms.items():
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{leaf}"] = (width,)
    return {name: make_array(name, shape) for name, shape in shapes.items()}


@pytest.fixture
def load(tmp_path):
    """Loads the small network from a state dict, with five classes."""

    def load(arrays, **options):
        write_safetensors(tmp_path / "weights", arrays)
        options = {"num_classes": 5, "image_shape": (8, 8, 3), **SMALL, **options}
        return load_weights("resnet18", tmp_path / "weights", **options)

    return load


def without(arrays, *names):
    return {name: array for name, array in arrays.items() if name not in names}


def test_every_array_arrives_in_its_layout(load, arrays):
    found = load(arrays)
    params, moments = found["params"], found["batch_stats"]
    block = params["BasicBlock_1"]
    pairs = {
        "conv1.weight": params["Conv_0"]["kernel"].transpose(3, 2, 0, 1),
        "layer2.0.conv2.weight": block["Conv_1"]["kernel"].transpose(3, 2, 0, 1),
        "layer2.0.downsample.0.weight": block["shortcut_conv"]["kernel"].T[..., 0, 0],
        "layer2.0.bn2.weight": block["BatchNorm_1"]["scale"],
        "layer2.0.bn2.bias": block["BatchNorm_1"]["bias"],
        "bn1.running_mean": moments["BatchNorm_0"]["mean"],
        "bn1.running_var": moments["BatchNorm_0"]["var"],
        "fc.weight": params["Dense_0"]["kernel"].T,
        "fc.bias": params["Dense_0"]["bias"],
    }
    for name, array in pairs.items():
        np.testing.assert_array_equal(array, arrays[name].reshape(array.shape))
    assert len(jax.tree.leaves(found)) == len(arrays)


def test_the_counters_of_pytorch_and_its_wrappers_are_left_out(load, arrays):
    more = {f"module.{name}": array for name, array in arrays.items()}
    more |= {"module.bn1.num_batches_tracked": np.array(9)}
    a, b = load(more), load(arrays)
    assert jax.tree.all(jax.tree.map(lambda x, y: (x == y).all(), a, b))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_floats_become_float32(load, arrays, dtype):
    kernel = load({name: array.astype(dtype) for name, array in arrays.items()})[
        "params"
    ]["Conv_0"]["kernel"]
    assert kernel.dtype == np.float32
    rounded = arrays["conv1.weight"].astype(dtype).astype(np.float32)
    np.testing.assert_array_equal(kernel.transpose(3, 2, 0, 1), rounded)


def test_everything_that_does_not_fit_is_named(load, arrays):
    wrong = without(arrays, "bn1.bias", "layer1.0.conv1.weight")
    wrong |= {
        "layer2.0.conv1.weight": np.zeros((6, 4, 1, 1), np.float32),
        "layer2.1.bn1.weight": np.zeros(6, np.int64),
        "layer3.0.conv1.weight": np.zeros(1, np.float32),
        "fc.weight": np.zeros((5, 7), np.float32),
    }
    with pytest.raises(WeightsError) as caught:
        load(wrong)
    message = str(caught.value)
    for part in (
        "weights cannot be used: its arrays do not match ResNet18 under torchvision's",
        "2 missing: ",
        "bn1.bias",
        "layer1.0.conv1.weight",
        "3 mismatched: ",
        "layer2.0.conv1.weight has shape (6, 4, 1, 1), expected (6, 4, 3, 3)",
        "layer2.1.bn1.weight is of dtype int64, expected float32",
        "fc.weight has shape (5, 7), expected (5, 6)",
        "1 unknown: layer3.0.conv1.weight",
    ):
        assert part in message


def test_the_weights_of_another_network_are_refused(load):
    other = {f"features.{n}.weight": np.zeros((4, 4), np.float32) for n in range(3)}
    with pytest.raises(WeightsError, match=r"conv1\.weight.*3 unknown: feat"):
        load(other)


@pytest.mark.slow
def test_a_head_of_another_size_is_initialized_anew_and_said_so(load, arrays, capsys):
    found = load(arrays, num_classes=7)["params"]
    assert found["Dense_0"]["kernel"].shape == (6, 7)
    assert np.asarray(found["Dense_0"]["kernel"]).std() > 0.1
    np.testing.assert_array_equal(
        found["Conv_0"]["kernel"].transpose(3, 2, 0, 1), arrays["conv1.weight"]
    )
    told = capsys.readouterr().err
    assert "Dense_0.bias, Dense_0.kernel are newly initialized" in told
    again = load(arrays, num_classes=7, seed=1)["params"]["Dense_0"]["kernel"]
    assert (found["Dense_0"]["kernel"] != again).any()


def test_weights_without_a_head(load, arrays, capsys):
    load(without(arrays, "fc.weight", "fc.bias"))
    assert "Dense_0.bias, Dense_0.kernel are newly" in capsys.readouterr().err


def test_a_network_without_a_head(load, arrays, capsys):
    assert "Dense_0" not in load(arrays, num_classes=0)["params"]
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_one_channel_gets_the_sum_of_the_filters(load, arrays):
    gray = jax.random.normal(jax.random.key(0), (2, 8, 8, 1))
    color = jnp.repeat(gray, 3, -1)
    model = make_model("resnet18", num_classes=5, **SMALL)
    expected = model.apply(load(arrays), color, train=False)
    found = model.apply(load(arrays, image_shape=(8, 8, 1)), gray, train=False)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_other_channels_are_refused(load, arrays):
    with pytest.raises(WeightsError, match=r"\(4, 3, 3, 3\), expected \(4, 4, 3, 3\)"):
        load(arrays, image_shape=(8, 8, 4))


def test_the_naming_can_be_forced(load, arrays):
    assert load(arrays, naming="timm")  # the same names as torchvision's
    with pytest.raises(WeightsError, match="under cnnjax's own names"):
        load(arrays, naming="cnnjax")
    with pytest.raises(WeightsError, match="flax has no ResNet18 with these options"):
        load(arrays, naming="flax")


@pytest.mark.slow
@pytest.mark.parametrize("format", ["torch", "safetensors"])
def test_a_network_of_no_library_keeps_its_own_names(tmp_path, format):
    model = make_model("small_cnn", num_classes=3)
    variables = model.init(jax.random.key(1), jnp.zeros((1, 8, 8, 1)), train=False)
    save_weights(model, variables, tmp_path / "weights", format)
    found = load_weights(
        "small_cnn", tmp_path / "weights", num_classes=3, image_shape=(8, 8, 1)
    )
    assert jax.tree.all(jax.tree.map(lambda x, y: (x == y).all(), found, variables))
    with pytest.raises(
        WeightsError, match="torchvision has no SmallCNN with these options"
    ):
        load_weights("small_cnn", tmp_path / "weights", naming="torchvision")


def test_a_state_dict_is_what_was_loaded(load, arrays):
    model = make_model("resnet18", num_classes=5, **SMALL)
    found = state_dict(model, load(arrays))
    counters = {name for name in found if name.endswith("num_batches_tracked")}
    assert len(counters) == 8
    assert found.keys() - counters == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
    assert all(found[name].dtype == np.int64 for name in counters)


def test_an_unknown_format(tmp_path):
    model = make_model("small_cnn", num_classes=3)
    with pytest.raises(ValueError, match="unknown format 'onnx'"):
        save_weights(model, {}, tmp_path / "x", "onnx")


def test_a_damaged_file_names_itself(tmp_path):
    (tmp_path / "x.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(
        ConfigError, match=r"x\.pth cannot be used: it is not a complete"
    ):
        load_weights("resnet18", tmp_path / "x.pth")


def test_arrays_of_no_numbers(load, arrays, tmp_path):
    with pytest.raises(WeightsError, match=r"conv1\.weight has shape \(0,"):
        load(arrays | {"conv1.weight": np.zeros((0, 3), np.float32)})
    write_torch(tmp_path / "empty", {"fc.weight": np.zeros((0, 3), np.float32)})
    with pytest.raises(WeightsError, match="missing: "):
        load_weights("resnet18", tmp_path / "empty", naming="torchvision", **SMALL)


@pytest.mark.slow
def test_names_are_told_apart_by_how_many_match(tmp_path, capsys):
    model = make_model("mobilenet_v2", num_classes=3, multiplier=0.1)
    shape = (1, 32, 32, 3)
    shapes = jax.eval_shape(
        lambda key: model.init(key, jnp.zeros(shape), train=False), jax.random.key(0)
    )
    variables = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes)
    save_weights(model, variables, tmp_path / "x")
    found = load_weights(
        "mobilenet_v2",
        tmp_path / "x",
        num_classes=3,
        image_shape=shape[1:],
        multiplier=0.1,
    )
    assert flatten_dict(found).keys() == flatten_dict(variables).keys()
    assert capsys.readouterr().err == ""
