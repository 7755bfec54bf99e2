"""A run that somebody else made is only data: it chooses no program, link or pipe."""

import json
import os
import shutil

import pytest

from cnnjax.train.machine import compilation_cache
from cnnjax.train.run.workdir import NOT_FROM_DISK, read_config
from tests.support.train.faults import LONGER, SHORT, contents, error, evaluate, train


def edit_config(run, **changes):
    path = run / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def foreign(tmp_path, run, monkeypatch):
    """A run whose settings name a folder of programs, a pipe, and a run to start from.

    The checkpoints note the same settings, as whoever made the run could do that, too.
    """
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "own"))
    os.mkfifo(run / "pipe")
    (run / "cache").mkdir()
    (run / "cache" / "program").write_text("planted")
    edit_config(run, compilation_cache=str(run / "cache"), init_from=str(run / "pipe"))
    for notes in run.glob("checkpoints/*/notes/metadata"):
        tree = json.loads(notes.read_text())
        del tree["notes_checksum"]
        tree["config"]["compilation_cache"] = str(run / "cache")
        tree["config"]["data"]["cache_folder"] = str(run / "images")
        tree["config"]["init_from"] = str(run / "pipe")
        notes.write_text(json.dumps(tree))
    return run


def test_settings_that_choose_programs_or_files_are_not_taken_from_disk(foreign):
    config = read_config(foreign)
    assert NOT_FROM_DISK == ("compilation_cache", "data.cache_folder", "init_from")
    assert [config[name] for name in NOT_FROM_DISK] == [None, None, None]


COMMANDS = {
    "evaluate": lambda run, new: evaluate(run),
    "resume from there": lambda run, new: train(new, *LONGER, f"--resume={run}"),
    "start from there": lambda run, new: train(
        new, *SHORT, f"--config.init_from={run}"
    ),
    "resume it": lambda run, new: train(run, *LONGER),
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_no_program_is_read_or_left_where_a_foreign_run_says(
    tmp_path, foreign, monkeypatch, command
):
    folders = []
    enable = compilation_cache.enable

    def watch(folder=None):
        folders.append(enable(folder))
        return folders[-1]

    monkeypatch.setattr(compilation_cache, "enable", watch)
    assert COMMANDS[command](foreign, tmp_path / "new") == 0
    assert set(folders) <= {tmp_path / "own"}
    assert contents(foreign / "cache") == {"program": b"planted"}


def make_link(path):
    outside = path.parents[1] / "outside"
    outside.write_bytes(path.read_bytes() if path.exists() else b"mine")
    path.unlink(missing_ok=True)
    path.symlink_to(outside)


def make_dangling_link(path):
    path.unlink(missing_ok=True)
    path.symlink_to(path.parents[1] / "missing")


def make_pipe(path):
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def make_folder(path):
    path.unlink(missing_ok=True)
    path.mkdir()


FILES = ["config.json", "normalization.json", "data.json", "metrics.jsonl", ".lock"]


@pytest.mark.parametrize(
    "make", [make_link, make_dangling_link, make_pipe, make_folder]
)
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_regular_file_is_refused(tmp_path, run, capfd, name, make):
    make(run / name)
    outside = {path.name for path in tmp_path.iterdir()}
    before = contents(run / "checkpoints"), contents(tmp_path / "outside")
    mine = (tmp_path / "outside").read_bytes() if make is make_link else None
    commands = [lambda: train(run, *LONGER)]
    if name not in ("metrics.jsonl", ".lock"):
        commands.append(lambda: evaluate(run))
    for command in commands:
        assert command() == 2
        message = error(capfd)
        assert str(run / name) in message
        assert "expected a regular file" in message
    assert {path.name for path in tmp_path.iterdir()} == outside
    assert (contents(run / "checkpoints"), contents(tmp_path / "outside")) == before
    if mine is not None:
        assert (tmp_path / "outside").read_bytes() == mine


@pytest.mark.parametrize("name", ["metrics.jsonl", ".lock"])
@pytest.mark.parametrize("make", [make_link, make_dangling_link, make_pipe])
def test_a_new_run_in_a_prepared_folder_is_refused(tmp_path, capfd, name, make):
    folder = tmp_path / "new"
    folder.mkdir()
    make(folder / name)
    assert train(folder, *SHORT) == 2
    assert "expected a regular file" in error(capfd)
    assert not (tmp_path / "missing").exists()
    if make is make_link:
        assert (tmp_path / "outside").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["checkpoints", "damaged"])
def test_a_link_in_place_of_a_folder_is_refused(tmp_path, run, capfd, name):
    outside = tmp_path / "outside"
    if (run / name).exists():
        shutil.move(run / name, outside)
    else:
        outside.mkdir()
    (run / name).symlink_to(outside)
    before = contents(outside)
    assert train(run, *LONGER) == 2
    assert f"{run / name} is a symbolic link, expected a folder" in error(capfd)
    assert contents(outside) == before
