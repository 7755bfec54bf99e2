"""Compiled programs on disk."""

import os
import warnings
import zlib

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache as jax_cache

from cnnjax.train.machine import compilation_cache


@pytest.fixture
def compile_anew(tmp_path):
    """Compiles a function as a process that has just started does."""

    def compile_anew():
        jax.clear_caches()
        jax_cache.reset_cache()
        compilation_cache.enable(tmp_path)
        jax.jit(lambda x: jnp.sin(x) * 3)(jnp.ones(7))

    return compile_anew


def test_a_half_written_program_is_removed_and_written_again(tmp_path, compile_anew):
    compile_anew()
    written = {path: path.read_bytes() for path in tmp_path.glob("*-cache")}
    assert written
    for path, content in written.items():
        path.write_bytes(content[: len(content) // 2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compile_anew()
    for path in written:
        zlib.decompress(path.read_bytes())


def test_a_program_that_is_being_written_is_compiled_without_a_word(
    tmp_path, compile_anew, monkeypatch
):
    compile_anew()
    for path in tmp_path.glob("*-cache"):
        path.write_bytes(path.read_bytes()[:-1])
    monkeypatch.setattr(compilation_cache, "_remove_half_written", lambda folder: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compile_anew()


def test_whole_programs_stay_and_old_ones_are_not_read_again(tmp_path, compile_anew):
    compile_anew()
    whole = set(tmp_path.glob("*-cache"))
    old = tmp_path / "old-cache"
    old.write_bytes(b"x")
    os.utime(old, (0, 1))
    (tmp_path / "empty-cache").touch()
    compile_anew()
    assert set(tmp_path.glob("*-cache")) == {*whole, old}
