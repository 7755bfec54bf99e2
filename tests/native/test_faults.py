"""What oneDNN computes wrongly is computed in another way, or refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import ops
from cnnjax.native.conv import find
from cnnjax.typing import Window
from tests.support.native.programs import run

PLACES = [(17,), (16, 16), (15, 9), (4, 6, 5)]


@pytest.mark.parametrize("backend", ["auto", "native"])
@pytest.mark.parametrize("places", PLACES, ids=str)
@pytest.mark.parametrize("inputs", [1, 7, 12, 17])
def test_gradient_of_a_1x1_kernel_with_strides_is_right(inputs, places, backend):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, *places, inputs)).astype(np.float32)
    kernel = jnp.ones((*[1] * len(places), inputs, 8))

    def layer(kernel):
        return ops.conv(jnp.asarray(x), kernel, strides=2, backend=backend)

    y, vjp = jax.vjp(layer, kernel)
    dy = rng.normal(size=y.shape).astype(np.float32)
    seen = x[(slice(None), *[slice(None, None, 2)] * len(places))]
    expected = np.float64(seen).reshape(-1, inputs).T @ np.float64(dy).reshape(-1, 8)
    (dkernel,) = vjp(jnp.asarray(dy))
    np.testing.assert_allclose(dkernel.reshape(inputs, 8), expected, 1e-4, 1e-4)


def test_gradient_of_a_1x1_kernel_with_strides_leaves_memory_intact():
    run(
        "-c",
        """
import jax, jax.numpy as jnp
from cnnjax import layers as nn
from cnnjax.native import library
assert library.status().library, library.status().reason
layer = nn.Conv(16, (1, 1), strides=2)
x = jnp.ones((32, 64, 64, 12))
variables = layer.init(jax.random.key(0), x)
gradient = jax.jit(jax.grad(lambda v: layer.apply(v, x).sum()))
for _ in range(5):
    assert float(gradient(variables)["params"]["kernel"][0, 0, 0, 0]) == 32 * 32 * 32
""",
        CNNJAX_NATIVE_CHECK="1",
    )


@pytest.mark.parametrize(
    ("x", "kernel", "groups"),
    [
        ((2, 1, 16), (3, 16, 16), 1),
        ((2, 5, 1, 16), (3, 3, 16, 16), 1),
        ((2, 5, 2, 32), (3, 1, 8, 32), 4),
    ],
)
def test_kernel_gradient_of_rows_shorter_than_the_stride(x, kernel, groups):
    """In bfloat16 oneDNN reads what it did not write, whatever this CPU has."""
    rank, strides = len(x) - 2, 3
    window = Window((strides,) * rank, ((1, 1),) * rank, (1,) * rank, (1,) * rank)
    window = window._replace(groups=groups)
    shapes = x, kernel, window
    found = find("kernel_gradient", *shapes, "bfloat16")
    assert "shorter than the stride" in found.reason
    assert not find("kernel_gradient", *shapes, "float32").reason
    one_longer = (*x[:-2], strides, x[-1]), *shapes[1:]
    found = find("kernel_gradient", *one_longer, "bfloat16")
    assert "shorter than the stride" not in found.reason

    rng = np.random.default_rng(0)
    arrays = [rng.integers(-2, 3, shape).astype(np.float32) for shape in (x, kernel)]

    def gradient(dtype, backend):
        def total(kernel):
            y = ops.conv(
                jnp.asarray(arrays[0], dtype),
                kernel,
                strides=strides,
                padding=1,
                groups=groups,
                backend=backend,
            )
            return y.astype(jnp.float32).sum()

        return jax.grad(total)(jnp.asarray(arrays[1], dtype)).astype(jnp.float32)

    expected = gradient(jnp.float32, "xla")
    np.testing.assert_array_equal(gradient(jnp.bfloat16, "auto"), expected)


@pytest.mark.parametrize("isa", ["AVX512_CORE", "AVX512_CORE_BF16"])
def test_1x1_kernels_in_bfloat16_are_right_on_every_generation_of_avx512(isa):
    """Five places and many channels; strides, and a dilation of a single tap."""
    run(
        "-c",
        """
import collections
from cnnjax.typing import Window
from scripts.fuzz_native import Problem, run_problems
problems = []
for x, outputs, strides, dilation in [
    ((2, 5, 42), 80, (1,), (1,)),
    ((3, 1, 5, 114), 210, (1, 1), (1, 1)),
    ((3, 10, 1, 110), 46, (2, 1), (1, 1)),
    ((1, 10, 9, 75), 63, (1, 3), (2, 2)),
    ((1, 12, 10, 32), 41, (2, 1), (1, 2)),
]:
    rank = len(strides)
    window = Window(strides, ((0, 0),) * rank, dilation, (1,) * rank)
    kernel = (*[1] * rank, x[-1], outputs)
    problems.append(Problem(len(problems), "bfloat16", x, kernel, window, False))
assert run_problems(7, problems, collections.Counter()) == []
""",
        CNNJAX_NATIVE_CHECK="1",
        ONEDNN_MAX_CPU_ISA=isa,
    )
