"""Kernel gradients as sums of outer products, which AVX2 has and AVX-512 needs not."""

import pytest

from tests.support.native.programs import run


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2", "5"])
def test_equals_float64(threads):
    run(
        "-m",
        "tests.support.native.outer_products",
        JAX_PLATFORMS="cpu",
        ONEDNN_MAX_CPU_ISA="AVX2",
        OMP_NUM_THREADS=threads,
    )
