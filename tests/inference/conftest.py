"""Trained runs that the tests of inference share."""

import pytest

import cnnjax
from cnnjax.data import RawDataset
from tests.support.inference.runs import NAMES, SETTINGS, make_split


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run on images of 9 x 7 pixels in color, of three classes with names."""
    return cnnjax.train(
        SETTINGS,
        data=RawDataset(make_split(), class_names=NAMES),
        workdir=tmp_path_factory.mktemp("run") / "a",
        progress="none",
    )
