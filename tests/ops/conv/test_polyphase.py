"""The input gradient of a strided convolution in polyphase form."""

import pytest

from cnnjax.ops.conv import polyphase
from tests.support.ops.conv.cases import case
from tests.support.ops.conv.map_check import check_map

CASES = [
    case("1-D", (3, 11, 3), (4, 3, 5), strides=2, padding=((1, 2),)),
    case("skipped pixels", (2, 11, 2), (2, 2, 3), strides=4, padding=((1, 2),)),
    case("crop", (2, 12, 2), (5, 2, 3), strides=3, padding=((-2, 1),)),
    case("plane", (2, 9, 8, 3), (3, 5, 3, 4), strides=(2, 3), padding=((0, 3), 1)),
    case("one axis", (2, 5, 8, 3), (3, 4, 3, 4), strides=(1, 2)),
    case("volume", (2, 5, 7, 6, 3), (3, 2, 4, 3, 2), strides=(2, 1, 3)),
]


@pytest.mark.parametrize("case", CASES)
def test_equals_numpy(case, x64):
    check_map(polyphase, "input_gradient", case)
