"""The comparison of two functions' gradients, and what it takes for right."""

import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.compare import compare_gradients
from cnnjax.compare.tolerance import relative_tolerance, units_in_the_last_place
from cnnjax.ops.gradient import custom_vjp


def cube(x):
    return x**3


def wrong_cube(factor):
    @custom_vjp()
    def f(x):
        return x**3

    f.defvjp(lambda x: (f(x), x), lambda x, dy: (factor * 3 * x**2 * dy,))
    return f


X = np.linspace(-2, 3, 24, dtype=np.float32).reshape(4, 6)


def test_equal_functions_are_right():
    comparison = compare_gradients(cube, lambda x: x * x * x, X)
    assert comparison.ok
    (row,) = comparison.rows
    assert (row.name, row.shape) == ("0", (4, 6))
    assert row.finite_difference < 1e-8
    assert row.float64 < 1e-15


@pytest.mark.parametrize("factor", [1.05, 0.5, 0, np.nan])
def test_a_wrong_gradient_is_off_in_all_three_ways(factor):
    wrong = wrong_cube(factor)
    (row,) = compare_gradients(
        lambda x: wrong(x).sum(), lambda x: cube(x).sum(), X
    ).rows
    assert not row.ok
    assert len(row.failures) == 3
    assert row.max_abs == pytest.approx(abs(factor - 1) * 27, rel=1e-3, nan_ok=True)


def test_a_small_fault_hides_in_rounding_but_not_in_float64():
    (row,) = compare_gradients(wrong_cube(1 + 3e-7), cube, X).rows
    assert row.float64 == pytest.approx(3e-7, rel=1e-3)
    assert row.failures == ("differs by 3.0e-07 in float64",)


def hidden(shift, factor=1.0):
    """A ReLU whose input is rounding away from 0 in float32, and its gradient there."""

    @custom_vjp()
    def relu(z):
        return jnp.maximum(z, 0)

    def backward(z, dy):
        single = z.dtype == jnp.float32
        return (dy * (z + shift * single > 0) * (factor if single else 1),)

    relu.defvjp(lambda z: (relu(z), z), backward)
    return lambda x: relu(x - jnp.asarray(X)) + x


def test_rounding_may_take_a_hidden_unit_of_a_network_across_a_kink():
    x = X * (1 - 1e-7)  # within rounding of the kinks
    one, other = hidden(1e-5), hidden(0)
    assert not compare_gradients(one, other, x).ok
    assert compare_gradients(one, other, x, network=True).ok
    wrong = hidden(1e-5, factor=10)
    assert not compare_gradients(wrong, other, x, network=True).ok


def test_names_are_paths_and_whole_numbers_pass_through():
    tree = {"kernel": X, "parts": [X + 1, np.arange(6)]}

    def f(tree, scale):
        return scale * tree["kernel"] * tree["parts"][0] + tree["parts"][1]

    rows = compare_gradients(f, f, tree, np.float32(2)).rows
    assert [row.name for row in rows] == ["0.kernel", "0.parts.0", "1"]
    assert rows[2].shape == ()


def test_outputs_may_be_a_tree():
    def f(x):
        return {"a": x.sum(), "b": (x * x, x[0])}

    assert compare_gradients(f, f, X).ok


def test_finite_differences_can_be_left_out():
    (row,) = compare_gradients(jnp.abs, jnp.abs, X, finite_differences=False).rows
    assert row.finite_difference is None


def test_without_floating_arguments_it_refuses():
    with pytest.raises(ValueError, match="no argument has a floating dtype"):
        compare_gradients(cube, cube, np.arange(3))


def test_tolerance_grows_with_the_root_of_the_terms():
    assert relative_tolerance(np.dtype("float32"), 64) == pytest.approx(64 * 2**-23)
    ratio = relative_tolerance(np.dtype("float64"), 6400) / (64 * 2**-52)
    assert ratio == pytest.approx(10)


def test_units_in_the_last_place():
    dtype = np.dtype("float32")
    assert units_in_the_last_place(float(np.spacing(np.float32(3))), 3, dtype) == 1
    assert units_in_the_last_place(0, 0, dtype) == 0
