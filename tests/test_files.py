"""Only regular files are opened, and files are written as a whole or not at all."""

import os
import socket

import pytest

from cnnjax.errors import NotRegularError
from cnnjax.files import check_regular, open_regular, write_whole
from tests.report.test_metrics_file import room


def make_pipe(path):
    os.mkfifo(path)


def make_link_to_pipe(path):
    os.mkfifo(f"{path}.pipe")
    path.symlink_to(f"{path}.pipe")


def make_link_to_device(path):
    path.symlink_to("/dev/zero")


def make_link(path):
    (path.parent / "target").write_text("mine")
    path.symlink_to("target")


def make_dangling_link(path):
    path.symlink_to("missing")


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def make_folder(path):
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (make_pipe, "a named pipe"),
        (make_link_to_pipe, "a named pipe"),
        (make_link_to_device, "a device"),
        (make_socket, "a socket"),
        (make_folder, "a folder"),
    ],
)
def test_the_kind_is_named(tmp_path, monkeypatch, make, kind):
    monkeypatch.chdir(tmp_path)  # the path of a socket has to be short
    path = tmp_path.relative_to(tmp_path) / "file"
    make(path)
    for check in (open_regular, check_regular):
        with pytest.raises(OSError, match=f"file is {kind}, expected a regular file"):
            check(path)


@pytest.mark.parametrize("mode", ["r", "rb", "a", "ab", "r+"])
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (make_pipe, "a named pipe"),
        (make_folder, "a folder"),
        (make_link, "a symbolic link"),
        (make_dangling_link, "a symbolic link"),
        (make_link_to_pipe, "a symbolic link"),
        (make_link_to_device, "a symbolic link"),
    ],
)
def test_links_are_refused_on_demand_in_every_mode(tmp_path, make, kind, mode):
    make(tmp_path / "file")
    with pytest.raises(NotRegularError, match=f"file is {kind}"):
        open_regular(tmp_path / "file", mode, follow_links=False)
    assert not (tmp_path / "missing").exists()
    if make is make_link:
        assert (tmp_path / "target").read_text() == "mine"


@pytest.mark.parametrize("mode", ["r", "a", "r+"])
@pytest.mark.parametrize("make", [make_pipe, make_link, make_dangling_link])
def test_what_takes_the_file_s_place_at_the_last_moment_is_refused(
    tmp_path, monkeypatch, make, mode
):
    make(tmp_path / "file")
    monkeypatch.setattr("cnnjax.files.check_regular", lambda *_, **__: None)
    with pytest.raises(OSError):
        open_regular(tmp_path / "file", mode, follow_links=False)
    assert not (tmp_path / "missing").exists()


def test_regular_files_and_links_to_them_are_opened(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name in ("file", "link"):
        with open_regular(tmp_path / name) as file:
            assert file.read() == b"content"
            assert file.seek(3) == 3


def test_a_file_is_appended_to_and_read_back(tmp_path):
    for _ in range(2):
        with open_regular(tmp_path / "file", "a", follow_links=False) as file:
            file.write("häst\n")
    with open_regular(tmp_path / "file", "r+", follow_links=False) as file:
        assert file.read() == "häst\n" * 2


def test_a_file_that_is_written_in_place_may_be_new(tmp_path):
    for text in ("longer", "short"):
        with open_regular(tmp_path / "file", "r+", follow_links=False) as file:
            file.write(text)
    assert (tmp_path / "file").read_text() == "shortr"


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")


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
