"""Normalization layers refuse what Flax's refuse, with the values in the message."""

import jax.numpy as jnp
import pytest
from flax import linen

from cnnjax import layers
from tests.support.layers.flax_likeness import KEY

TRAINING = {"use_running_average": False}


def error_of(nn, name, options, call):
    layer = getattr(nn, name)(**options)
    with pytest.raises(Exception) as caught:
        layer.init_with_output(KEY, jnp.ones((2, 3, 4)), **call)
    return caught.value


REFUSALS = [
    ("BatchNorm", {}, {}, "use_running_average"),
    ("BatchNorm", TRAINING, TRAINING, "use_running_average"),
    ("BatchNorm", {"axis": 3}, TRAINING, "axis 3 is out of bounds.*dimension 3"),
    ("LayerNorm", {"reduction_axes": 3}, {}, "axis 3 is out of bounds"),
    ("LayerNorm", {"feature_axes": (1, 5)}, {}, "axis 5 is out of bounds"),
    ("GroupNorm", {}, {}, "num_groups is 32, expected a divisor of 4"),
    ("GroupNorm", {"num_groups": 0}, {}, "num_groups is 0, expected a divisor of 4"),
    ("GroupNorm", {"num_groups": None}, {}, "None and group_size is None"),
    ("GroupNorm", {"group_size": 2}, {}, "num_groups is 32 and group_size is 2"),
    (
        "GroupNorm",
        {"num_groups": None, "group_size": 3},
        {},
        "group_size is 3, expected a divisor of 4",
    ),
    (
        "GroupNorm",
        {"num_groups": 2, "reduction_axes": (0, 1)},
        {},
        r"reduction_axes is \(0, 1\), expected the last axis",
    ),
]


@pytest.mark.parametrize(("name", "options", "call", "message"), REFUSALS)
def test_refuses_what_flax_refuses(name, options, call, message):
    error_of(linen, name, options, call)
    assert error_of(layers, name, options, call).__class__ is not AssertionError
    with pytest.raises(ValueError, match=message):
        getattr(layers, name)(**options).init(KEY, jnp.ones((2, 3, 4)), **call)


def test_statistics_that_may_not_change_are_an_error_as_in_flax():
    x = jnp.ones((2, 3, 4))
    for nn in (layers, linen):
        layer = nn.BatchNorm(use_running_average=False)
        variables = layer.init(KEY, x)
        with pytest.raises(Exception, match="Cannot update variable"):
            layer.apply(variables, x)
