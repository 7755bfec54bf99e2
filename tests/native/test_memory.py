"""Primitives of shapes that come no more are forgotten."""

import pytest

from tests.support.native.programs import run


@pytest.mark.slow
def test_many_shapes_take_no_more_memory_than_some():
    """The cache is full after 512; without a bound, 1000 more take 100 MB or more."""
    lines = run("-m", "tests.support.native.many_shapes", "2250").splitlines()
    resident = dict(tuple(map(int, line.split())) for line in lines)
    assert resident[2250] - resident[1250] < 50, resident
