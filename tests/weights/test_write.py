"""Written files hold what was given; ``scripts/check_with_torch.py`` asks PyTorch."""

import ml_dtypes
import numpy as np
import pytest

from cnnjax.errors import WeightsError
from cnnjax.weights import read_weights, write_safetensors, write_torch

ARRAYS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "half": np.array([1.5], np.float16),
    "bfloat": np.array([[2.5]], ml_dtypes.bfloat16),
    "count": np.array(7, np.int64),
    "empty": np.zeros((0, 1), np.float32),
    "café": np.array([True, False]),
}


@pytest.mark.parametrize("write", [write_torch, write_safetensors])
def test_what_is_written_is_read_back(tmp_path, write):
    path = tmp_path / "file"
    path.write_text("an older file")
    write(path, ARRAYS)
    found = read_weights(path)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


@pytest.mark.parametrize("write", [write_torch, write_safetensors])
def test_the_same_arrays_give_the_same_file(tmp_path, write):
    for name in ("a", "b"):
        write(tmp_path / name, ARRAYS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_dtype_that_pytorch_lacks_is_named(tmp_path):
    with pytest.raises(WeightsError, match="x is of dtype uint16, which PyTorch lacks"):
        write_torch(tmp_path / "x.pth", {"x": np.zeros(2, np.uint16)})
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(OSError, match="no/x"):
        write_torch(tmp_path / "no" / "x", {})
