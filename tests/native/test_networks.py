"""Every model runs on oneDNN's fast kernels, on all instruction sets there are."""

import pytest

from tests.support.native.instructions import HAS_AVX512
from tests.support.native.programs import run


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["DEFAULT", "AVX2"] if HAS_AVX512 else ["DEFAULT"])
def test_no_convolution_of_a_model_is_a_reference_loop_or_a_copy(isa):
    text = run(
        "-m",
        "tests.support.native.networks",
        ONEDNN_VERBOSE="1",
        ONEDNN_MAX_CPU_ISA=isa,
        JAX_PLATFORMS="cpu",
        JAX_DISABLE_MOST_OPTIMIZATIONS="1",  # it is about oneDNN alone
    )
    lines = [line.split(",") for line in text.splitlines() if ",exec,cpu," in line]
    found = {(line[5], line[4]) for line in lines if line[3] == "convolution"}
    assert {kind for kind, _ in found} == {
        "forward_training",
        "backward_data",
        "backward_weights",
    }
    slow = {name for _, name in found if {"ref", "gemm"} & set(name.split(":"))}
    assert not slow


@pytest.mark.slow
def test_the_grid_holds_on_older_instructions_too():
    run(
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/native/test_conv.py",
        ONEDNN_MAX_CPU_ISA="AVX2" if HAS_AVX512 else "SSE41",
    )
