"""Statistics of the training split."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.data import (
    Normalization,
    measure,
    normalize,
    read_normalization,
    write_normalization,
)
from cnnjax.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 7, 5, 3)).astype(np.uint8)


@pytest.mark.parametrize("chunk", [1, 1000, 2**20])
def test_measure_is_the_mean_and_deviation(monkeypatch, chunk):
    monkeypatch.setattr("cnnjax.data.normalization._CHUNK_VALUES", chunk)
    mean, std = measure(IMAGES)
    assert mean.dtype == std.dtype == np.float32
    np.testing.assert_allclose(mean, IMAGES.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(std, IMAGES.std((0, 1, 2)), rtol=1e-6)


def test_bytes_are_counted_as_floats_are_summed():
    """Both are exact but for float32, over values that occur rarely and often."""
    images = np.random.default_rng(1).binomial(255, 0.02, (400, 9, 4, 2))
    counted, summed = measure(images.astype(np.uint8)), measure(images * 1.0)
    for one, other in zip(counted, summed, strict=True):
        assert one.tobytes() == other.tobytes()


def test_large_offset_keeps_its_precision():
    x = (np.arange(6).reshape(6, 1, 1) + 2.0**22).astype(np.float32)
    np.testing.assert_allclose(measure(x).std, np.std(np.arange(6)), rtol=1e-6)


@pytest.mark.parametrize("value", [0, 0.1, 1e20])
def test_constant_channel_has_deviation_one(value):
    assert measure(np.full((9, 7, 1), value, np.float32)).std == 1


@pytest.mark.parametrize("make", [np.asarray, jnp.asarray])
def test_normalize(make):
    statistics = measure(IMAGES)
    y = normalize(make(IMAGES), statistics)
    assert isinstance(y, type(make(IMAGES)))
    assert y.dtype == np.float32
    np.testing.assert_allclose(np.mean(y, (0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(np.std(y, (0, 1, 2)), 1, rtol=1e-6)


def test_normalize_under_jit():
    statistics = measure(IMAGES)
    y = jax.jit(lambda x: normalize(x, statistics))(IMAGES)
    # XLA may multiply by the reciprocal.
    np.testing.assert_allclose(y, normalize(IMAGES, statistics), atol=1e-6)


def test_file_keeps_every_bit(tmp_path):
    statistics = measure(IMAGES)
    write_normalization(statistics, tmp_path / "n.json")
    write_normalization(statistics, tmp_path / "n.json")
    for before, after in zip(
        statistics, read_normalization(tmp_path / "n.json"), strict=True
    ):
        assert before.tobytes() == after.tobytes()
        assert before.dtype == after.dtype
    assert [path.name for path in tmp_path.iterdir()] == ["n.json"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"mean": [1]}',
        '{"mean": [1], "std": [1, 2]}',
        '{"mean": 1, "std": 1}',
        '{"mean": [1], "std": [0]}',
        '{"mean": [NaN], "std": [1]}',
        '{"mean": [1e39], "std": [1]}',
        '{"mean": [1e999], "std": [1]}',
        f'{{"mean": [{"9" * 40}], "std": [1]}}',
        f'{{"mean": [{"9" * 5000}], "std": [1]}}',
        "[" * 200_000,
        '{"mean": ["a"], "std": [1]}',
        "\ufffe\0",
    ],
)
def test_damaged_file(tmp_path, content):
    (tmp_path / "n.json").write_text(content, encoding="utf-16")
    with pytest.raises(DataError, match=r"n\.json .*measure the training split again"):
        read_normalization(tmp_path / "n.json")
    (tmp_path / "n.json").write_text(content)
    with pytest.raises(DataError, match=r"n\.json .*measure the training split again"):
        read_normalization(tmp_path / "n.json")


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match="FileNotFoundError"):
        read_normalization(tmp_path / "n.json")


def test_bad_arrays_are_refused():
    with pytest.raises(DataError, match=r"shape \(0, 2, 1\)"):
        measure(np.zeros((0, 2, 1)))
    with pytest.raises(DataError, match="NaN"):
        measure(np.full((2, 2, 1), np.nan))
    with pytest.raises(DataError, match="statistics have 3 channels"):
        normalize(np.zeros((1, 2, 1)), Normalization(np.zeros(3), np.ones(3)))
