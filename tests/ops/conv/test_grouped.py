"""A convolution in groups as one convolution per group."""

import pytest

from cnnjax.ops.conv import grouped
from tests.support.ops.conv.cases import case
from tests.support.ops.conv.map_check import check_map

CASES = [
    case("1-D", (2, 9, 6), (3, 2, 9), groups=3, strides=2),
    case("plane", (2, 6, 5, 4), (2, 3, 2, 6), groups=2, padding=((0, 2), (1, 0))),
    case("volume", (2, 3, 4, 5, 4), (2, 1, 3, 2, 6), groups=2, dilation=(1, 2, 1)),
]


@pytest.mark.parametrize("name", ["forward", "input_gradient"])
@pytest.mark.parametrize("case", CASES)
def test_equals_numpy(case, name, x64):
    check_map(grouped, name, case)
