"""Where a path ends and its options begin."""

import numpy as np
import pytest

from cnnjax.data.sources.argument import parse_argument
from cnnjax.errors import DataError
from tests.support.data.pictures import write_folder
from tests.support.data.tables import load

ALLOWED = ("classes", "root")


def parse(text):
    path, options = parse_argument("npz", text, ALLOWED)
    return str(path), options


def test_options_follow_the_path():
    assert parse("/a/b.npz") == ("/a/b.npz", {})
    assert parse("b.npz?classes=3&root=/c?d") == (
        "b.npz",
        {"classes": "3", "root": "/c?d"},
    )


def test_a_path_that_exists_may_hold_question_marks(tmp_path):
    (tmp_path / "why?").mkdir()
    file = tmp_path / "why?" / "a?classes=2.npz"
    file.touch()
    assert parse(str(file)) == (str(file), {})
    assert parse(f"{file}?classes=3") == (str(file), {"classes": "3"})
    assert parse(f"{file}?root=/what?") == (str(file), {"root": "/what?"})


@pytest.mark.parametrize("allowed", [(), ALLOWED])
def test_unknown_options_are_refused(allowed):
    with pytest.raises(DataError, match=r"expected (none|classes.*); a path with a "):
        parse_argument("folder", "set?depth=3", allowed)


def test_a_folder_with_a_question_mark_is_read(tmp_path):
    folder = write_folder(tmp_path / "cats or dogs?")
    expected = load(f"folder:{write_folder(tmp_path / 'plain')}")
    found = load(f"folder:{folder}")
    np.testing.assert_array_equal(found.train.images, expected.train.images)
