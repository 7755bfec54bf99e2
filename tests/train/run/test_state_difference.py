"""Distances of numbers in units in the last place, and of states by layer."""

import ml_dtypes
import numpy as np
import pytest

from cnnjax.train.run.state_difference import compare_states, ulp_between


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, float])
def test_neighbors_are_one_unit_apart(dtype):
    for value in (-3.0, -1.0, 1.0, 1e-3):
        one = np.array(value, dtype)
        assert ulp_between(one, np.nextafter(one, dtype(9))) == 1
        assert ulp_between(np.nextafter(one, dtype(9)), one) == 1
    tiny = np.nextafter(np.array(0, dtype), dtype(1))
    assert ulp_between(-tiny, tiny) == 2
    assert ulp_between(np.array(-0.0, dtype), np.array(0.0, dtype)) == 0


def test_the_farthest_numbers_do_not_overflow():
    most = np.finfo(np.float64).max
    assert ulp_between(np.array([-most]), np.array([most])) == 2 * 0x7FEFFFFFFFFFFFFF


def test_whole_numbers_are_as_far_apart_as_their_difference():
    assert ulp_between(np.array([5, -5]), np.array([2, 4])).tolist() == [3, 9]
    most = np.array([2**32 - 1], np.uint32)
    assert ulp_between(most - most, most).tolist() == [2**32 - 1]


def test_each_layer_has_a_row_and_the_rest_follows():
    one = np.ones(3, np.float32)
    state = {
        "step": np.int32(4),
        "params": {"Conv_0": {"kernel": one, "bias": one}, "Norm_0": {"scale": one}},
        "statistics": {"batch_stats": {"Norm_0": {"mean": one}}},
        "opt_state": {"trace": {"Conv_0": {"kernel": one}}},
        "average": {},
        "key": np.zeros(2, np.uint32),
    }
    other = {**state, "params": {**state["params"]}}
    changed = one.copy()
    changed[1] += np.float32(2**-23 * 4)
    other["params"]["Conv_0"] = {"kernel": changed, "bias": one}
    rows = compare_states(state, other)
    assert [(row.layer, row.arrays, row.ulp) for row in rows] == [
        ("Conv_0", 2, 4),
        ("Norm_0", 2, 0),
        ("(step, key and loss)", 2, 0),
        ("(optimizer)", 1, 0),
    ]
    assert [row.equal for row in rows] == [False, True, True, True]
    assert rows[0].largest == rows[0].relative == 2**-21


def test_zeros_of_another_sign_are_not_the_same_bits():
    zero = {"params": {"Dense_0": {"bias": np.zeros(2, np.float32)}}}
    minus = {"params": {"Dense_0": {"bias": -np.zeros(2, np.float32)}}}
    (row,) = compare_states(zero, minus)
    assert (row.equal, row.ulp, row.largest) == (False, 0, 0)
