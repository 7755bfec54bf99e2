"""Trained runs that the tests of exporting share."""

import functools

import pytest

from tests.support.inference.exports import train_case


@pytest.fixture(scope="session")
def trained_case(tmp_path_factory):
    """The working directory of a case's run, trained at its first use."""

    @functools.cache
    def get(case):
        return train_case(case, tmp_path_factory.mktemp("case"))

    return get
