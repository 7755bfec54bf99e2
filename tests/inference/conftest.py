"""A trained run that the tests of inference share."""

import pytest

from tests.support.inference.runs import train_small


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    return train_small(tmp_path_factory.mktemp("run") / "a")
