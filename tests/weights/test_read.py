"""Files that PyTorch and safetensors wrote are read as they were meant."""

import struct
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from cnnjax.errors import WeightsError
from cnnjax.weights import read_weights
from tests.support.weights.pickles import (
    archive,
    legacy,
    number,
    state_dict,
    storage,
    tensor,
    text,
)

FILES = Path(__file__).parent / "files"
"""Written by ``scripts/record_torch_files.py``."""

BLOCK = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
EXPECTED = {
    "float": BLOCK,
    "transposed": BLOCK.transpose(2, 0, 1),
    "part": BLOCK[1, 1:, ::2],
    "parameter": np.float32([1.5, -2]),
    "half": np.float16([0.5, 65504]),
    "bfloat": np.array([1, -3e38], ml_dtypes.bfloat16),
    "double": np.float64([[1e-300]]),
    "count": np.int64(2**40),
    "flags": np.array([True, False]),
    "bytes": np.uint8([0, 255]),
    "complex": np.complex64([1 + 2j]),
}
SIX = np.arange(6, dtype=np.float32).reshape(2, 3)


def assert_arrays(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array, strict=True)


@pytest.fixture
def read(tmp_path):
    """Reads a file with the given content."""

    def read(content):
        (tmp_path / "file.pth").write_bytes(content)
        return read_weights(tmp_path / "file.pth")

    return read


@pytest.mark.parametrize("name", ["tensors.pth", "tensors_legacy.pth"])
def test_tensors_of_pytorch(name):
    found = read_weights(FILES / name)
    empty = found.pop("empty")
    assert empty.size == 0
    assert empty.ndim == 2
    assert_arrays(found, {k: np.asarray(v) for k, v in EXPECTED.items()})


@pytest.mark.parametrize("name", ["tensors.pth", "tensors_legacy.pth"])
def test_arrays_are_views_of_what_was_read(name):
    found = read_weights(FILES / name)
    assert np.shares_memory(found["float"], found["part"])
    assert not found["float"].flags.writeable


@pytest.mark.parametrize("name", ["checkpoint.pth", "checkpoint_legacy.pth"])
def test_the_averaged_state_dict_of_a_checkpoint_without_its_prefix(name):
    assert_arrays(read_weights(FILES / name), {"weight": np.ones(2, np.float32)})


def test_another_protocol_of_pickle():
    expected = {"x": np.arange(3, dtype=np.float32)}
    assert_arrays(read_weights(FILES / "protocol4.pth"), expected)


def test_big_endian(read):
    values = {
        "f": (">f", 1.5, "FloatStorage", np.float32),
        "b": (">H", 0x3FC0, "BFloat16Storage", ml_dtypes.bfloat16),
        "i": (">q", -(2**40), "LongStorage", np.int64),
    }
    tensors, parts = {}, {}
    for name, (form, value, kind, _) in values.items():
        parts[name] = struct.pack(form, value)
        tensors[name] = tensor(storage(kind, name, 1), shape=(), strides=())
    parts["c"] = struct.pack(">2f", 1, 2)
    tensors["c"] = tensor(storage("ComplexFloatStorage", "c", 1), 0, (), ())
    found = read(archive(state_dict(**tensors), parts, byteorder="big"))
    assert_arrays(
        found,
        {
            "f": np.array(1.5, np.float32),
            "b": np.array(1.5, ml_dtypes.bfloat16),
            "i": np.array(-(2**40)),
            "c": np.array(1 + 2j, np.complex64),
        },
    )


def test_a_view_of_a_storage_in_the_older_format(read):
    view = b"(" + text("view") + number(2) + number(4) + b"t"
    source = storage(view=view)
    found = read(legacy(state_dict(x=tensor(source, 1, (3,), (1,)))))
    assert_arrays(found, {"x": np.float32([3, 4, 5])})


@pytest.mark.parametrize("make", [archive, legacy])
def test_the_hand_made_files_are_right(read, make):
    assert_arrays(read(make(state_dict(x=tensor()))), {"x": SIX})


@pytest.mark.parametrize("key", ["state_dict", "model", "model_ema"])
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.module.", "model."])
def test_wrappers_are_taken_off(read, key, prefix):
    inner = state_dict(**{f"{prefix}a.weight": tensor(), f"{prefix}b": tensor()})
    entry = text(key) + inner[2:-1]  # without protocol and end
    content = b"\x80\x02}(" + entry + text("epoch") + number(3) + b"u."
    assert read(archive(content)).keys() == {"a.weight", "b"}


def test_a_prefix_of_some_names_stays(read):
    content = state_dict(**{"module.a": tensor(), "b": tensor()})
    assert read(archive(content)).keys() == {"module.a", "b"}


def test_safetensors(tmp_path):
    arrays = {
        name: np.ascontiguousarray(array)
        for name, array in EXPECTED.items()
        if np.ndim(array)
    }
    safetensors.numpy.save_file(arrays, tmp_path / "x.safetensors", {"from": "test"})
    assert_arrays(read_weights(tmp_path / "x.safetensors"), arrays)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(OSError, match=r"no\.pth"):
        read_weights(tmp_path / "no.pth")
    with pytest.raises(OSError, match="is a folder, expected a regular file"):
        read_weights(tmp_path)
    with pytest.raises(ValueError, match="the weights file is empty"):
        read_weights("")


def test_what_holds_no_tensors(read):
    with pytest.raises(WeightsError, match="a mapping with 'a', expected a state dict"):
        read(archive(state_dict(a=number(3))))
    with pytest.raises(WeightsError, match="it holds a Tensor, expected a state dict"):
        read(archive(b"\x80\x02" + tensor() + b"."))
