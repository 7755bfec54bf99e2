"""Kernels of one tap as products of matrices."""

import pytest

from cnnjax.ops.conv import pointwise
from tests.support.ops.conv.cases import case
from tests.support.ops.conv.map_check import check_map

CASES = [
    case("1-D", (3, 7, 3), (1, 3, 5)),
    case("1-D, strided", (3, 7, 3), (1, 3, 5), strides=3),
    case("plane", (2, 4, 5, 3), (1, 1, 3, 4), padding="VALID"),
    case("plane, strided", (2, 6, 9, 3), (1, 1, 3, 4), strides=(4, 2)),
    case("one axis", (2, 6, 5, 3), (1, 1, 3, 4), strides=(1, 5)),
    case("skipped pixels", (2, 4, 3, 3), (1, 1, 3, 2), strides=7),
    case("volume", (2, 5, 4, 6, 3), (1, 1, 1, 3, 2), strides=(2, 1, 3)),
]


@pytest.mark.parametrize("name", ["forward", "input_gradient", "kernel_gradient"])
@pytest.mark.parametrize("case", CASES)
def test_equals_numpy(case, name, x64):
    check_map(pointwise, name, case)
