"""Files written in one piece."""

import os

import pytest

from cnnjax.whole_file import write_whole
from tests.report.test_metrics_file import room


def test_it_replaces_what_was_there_and_leaves_nothing_else(tmp_path):
    for text in ("one\n", "two\n"):
        write_whole(tmp_path / "file", text)
        assert (tmp_path / "file").read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_link_of_the_draft_s_name_is_not_written_through(tmp_path):
    (tmp_path / "outside").write_text("mine")
    draft = tmp_path / f".file.{os.getpid()}.tmp"
    draft.symlink_to(tmp_path / "outside")
    write_whole(tmp_path / "file", "new")
    assert (tmp_path / "outside").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "new"


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    write_whole(tmp_path / "file", "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "file", "\ud800")
    assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path):
    write_whole(tmp_path / "file", "old")
    with (
        room(10),
        pytest.raises(OSError, match=r"/file cannot be written \(File too large\)"),
    ):
        write_whole(tmp_path / "file", "new" * 10)
    assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
