"""Size arithmetic against XLA's, and padding that copies the image's own pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from cnnjax.ops import padding as pads
from tests import reference
from tests.support.ops.closeness import normal

bounded = settings(max_examples=150, deadline=None, derandomize=True, database=None)
axes = st.lists(
    st.tuples(
        st.integers(1, 40),  # image
        st.integers(1, 9),  # taps
        st.integers(1, 5),  # stride
        st.integers(1, 4),  # dilation
    ),
    min_size=1,
    max_size=3,
)


@bounded
@given(axes, st.sampled_from(pads.NAMES))
def test_names_mean_what_they_mean_to_xla(axes, name):
    sizes, taps, strides, dilation = zip(*axes, strict=True)
    covered = pads.span(taps, dilation)
    pairs = pads.padding_pairs(name, sizes, covered, strides)
    assert list(pairs) == lax.padtype_to_pads(sizes, covered, strides, name)
    assert pads.padding_pairs(name.lower(), sizes, covered, strides) == pairs


@bounded
@given(axes, st.sampled_from(["SAME", "SAME_LOWER"]))
def test_same_gives_the_ceiling_of_size_by_stride(axes, name):
    sizes, taps, strides, dilation = zip(*axes, strict=True)
    covered = pads.span(taps, dilation)
    pairs = pads.padding_pairs(name, sizes, covered, strides)
    lower = name == "SAME_LOWER"
    assert pairs == tuple(
        reference.same_padding(sizes, taps, strides, dilation, lower=lower)
    )
    out = pads.output_sizes(sizes, covered, strides, pairs)
    assert out == tuple(-(-n // s) for n, s in zip(sizes, strides, strict=True))


@bounded
@given(axes, st.lists(st.tuples(st.integers(-3, 5), st.integers(-3, 5)), min_size=3))
def test_output_sizes_equal_a_count_of_places(axes, pairs):
    sizes, taps, strides, dilation = zip(*axes, strict=True)
    pairs, covered = tuple(pairs[: len(axes)]), pads.span(taps, dilation)
    where = reference.Geometry(strides, pairs, dilation, (1,) * len(axes))
    expected = reference.positions(sizes, taps, where)
    if 0 in expected:
        with pytest.raises(ValueError, match="output would be empty"):
            pads.output_sizes(sizes, covered, strides, pairs)
    else:
        assert pads.output_sizes(sizes, covered, strides, pairs) == expected


@pytest.mark.parametrize("mode", ["CIRCULAR", "REFLECT"])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_copies_and_their_gradient_equal_a_loop(mode, n, x64):
    rng = np.random.default_rng(0)
    name = {"CIRCULAR": "wrap", "REFLECT": "reflect"}[mode]
    widths = [((0, 0), (0, 1)), ((1, 0), (2, 0)), ((2, 7), (1, 2)), ((11, 4), (0, 0))]
    x, exact = normal(rng, 2, n, 3, 2)
    padded = [reference.pad(exact, pairs, mode) for pairs in widths]
    dys = [rng.standard_normal(y.shape) for y in padded]

    @jax.jit
    def run(x, dys):
        vjps = [jax.vjp(lambda x, p=p: pads.pad_image(x, p, name), x) for p in widths]
        return [(y, *vjp(dy)) for (y, vjp), dy in zip(vjps, dys, strict=True)]

    for (y, dx), pairs, expected, dy in zip(
        run(x, dys), widths, padded, dys, strict=True
    ):
        np.testing.assert_array_equal(y, expected)
        expected = reference.pad_gradient(dy, (n, 3), pairs, mode)
        np.testing.assert_allclose(dx, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("mode", ["wrap", "reflect"])
def test_the_gradient_of_the_gradient_pads_again(mode, x64):
    pairs = ((3, 1),)
    g = jnp.arange(4.0).reshape(1, 4, 1)
    _, vjp = jax.vjp(lambda dy: pads.fold_image(dy, pairs, mode), jnp.ones((1, 8, 1)))
    np.testing.assert_array_equal(vjp(g)[0], pads.pad_image(g, pairs, mode))


def test_half_precision_copies_add_up_in_half_precision():
    x = jnp.ones((1, 3, 1), jnp.bfloat16)
    gradient = jax.grad(lambda x: pads.pad_image(x, ((9, 9),), "wrap").sum())(x)
    assert gradient.dtype == jnp.bfloat16
    np.testing.assert_array_equal(gradient.ravel(), [7, 7, 7])


def test_no_number_means_one_on_every_axis():
    assert pads.per_axis(None, 3, "strides") == (1, 1, 1)
    assert pads.per_axis(np.int64(2), 2, "strides") == (2, 2)
    assert pads.per_axis([2, 3], 2, "strides") == (2, 3)
