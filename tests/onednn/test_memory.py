"""Primitives of shapes that come no more are forgotten."""

import pytest

from tests.onednn.programs import run


@pytest.mark.slow
def test_many_shapes_take_no_more_memory_than_some():
    """The cache is full after 512; without a bound, 500 more take 50 MB or more."""
    lines = run("-m", "tests.onednn.many_shapes", "1750").splitlines()
    resident = dict(tuple(map(int, line.split())) for line in lines)
    assert resident[1750] - resident[1250] < 25, resident
