"""Files made to do harm: they run no code and reach no other file."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from cnnjax.compare.command import Request
from cnnjax.compare.command import run as compare
from cnnjax.config.files import load_config
from tests.support.data.file_bytes import npy_header
from tests.support.train.faults import (
    DIGITS,
    LONGER,
    ROOT,
    SHORT,
    contents,
    error,
    evaluate,
    train,
    write_npz,
)

NO_PICKLE = """
import pickle, sys, _pickle
def refuse(*args, **kwargs):
    print("UNPICKLED", file=sys.stderr, flush=True)
    raise AssertionError("unpickled")
class Refusing(pickle._Unpickler):
    __init__ = refuse
for module in (pickle, _pickle):
    module.load = module.loads = refuse
    module.Unpickler = Refusing
pickle._load = pickle._loads = refuse
pickle._Unpickler = Refusing
from cnnjax.cli import main
sys.exit(main(sys.argv[1:]))
"""


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.slow
def test_going_on_and_evaluating_unpickle_nothing(run):
    for words in (["train", DIGITS, *LONGER], ["evaluate"]):
        command = [sys.executable, "-c", NO_PICKLE, *words, f"--workdir={run}"]
        result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert (result.returncode, result.stderr) == (0, "")
        if "train" in words:
            assert "resuming after step 20" in result.stdout


@pytest.mark.parametrize("key", ["images", "labels"])
def test_pickled_arrays_are_refused(tmp_path, capfd, key):
    arrays = {"images": np.zeros((100, 8, 8), np.uint8), "labels": np.arange(100) % 5}
    arrays[key] = np.array([Evil(tmp_path / "evil")] * 100)
    np.savez(tmp_path / "set.npz", **arrays)
    source = f"--config.data.source=npz:{tmp_path / 'set.npz'}"
    assert train(tmp_path / "run", source, *SHORT) == 2
    err = error(capfd)
    assert f"{key} in {tmp_path / 'set.npz'} holds Python objects" in err
    assert not (tmp_path / "evil").exists()


def test_a_pickle_in_place_of_an_archive_is_refused(tmp_path, capfd):
    path = tmp_path / "set.npz"
    np.array([Evil(tmp_path / "evil")]).dump(path)
    assert train(tmp_path / "run", f"--config.data.source=npz:{path}", *SHORT) == 2
    assert str(path) in error(capfd)
    assert not (tmp_path / "evil").exists()


def test_names_in_an_archive_lead_nowhere(tmp_path, monkeypatch):
    """Members that name files outside are neither written nor read."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    path = write_npz(inner / "set.npz")
    with zipfile.ZipFile(path, "a") as archive:
        names = ["../../evil.npy", str(tmp_path / "evil.npy"), "..\\..\\evil.npy"]
        for name in names:
            archive.writestr(name, npy_header((2,)) + b"01")
    before = contents(tmp_path)
    words = [f"--config.data.source=npz:{path}", "--config.batch_size=16", *SHORT]
    assert train(inner / "run", *words) == 0
    shutil.rmtree(inner / "run")
    assert contents(tmp_path) == before


def rename_in(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def leaf_names(step, outside):
    rename_in(step / "state" / "_METADATA", "Conv_0", f"../../../../{outside.name}")


def absolute_leaf_names(step, outside):
    rename_in(step / "state" / "_METADATA", "Conv_0", str(outside))


def one_more_leaf(step, outside):
    """An entry that the network does not ask for; the others stay."""
    path = step / "state" / "_METADATA"
    tree = json.loads(path.read_text())
    entry = json.loads(json.dumps(tree["tree_metadata"]["('step',)"]))
    name = f"../../../../{outside.name}/step"
    entry["key_metadata"][0]["key"] = name
    tree["tree_metadata"][f"('{name}',)"] = entry
    path.write_text(json.dumps(tree))


def plain_files(step, outside):
    """Asks for one file an array instead of a database, by names that lead out."""
    path = step / "state" / "_METADATA"
    tree = json.loads(path.read_text())
    tree["use_ocdbt"] = False
    path.write_text(json.dumps(tree))
    leaf_names(step, outside)


def item_names(step, outside):
    rename_in(step / "_CHECKPOINT_METADATA", '"state"', f'"../../../{outside.name}"')


def handler_names(step, outside):
    rename_in(step / "_CHECKPOINT_METADATA", "orbax.checkpoint._src", "os.system")


def names_of_checksums(step, outside):
    rename_in(step / "notes" / "metadata", "params.Conv", f"../../{outside.name}.Conv")


def values_of_notes(step, outside):
    path = step / "notes" / "metadata"
    notes = json.loads(path.read_text())
    notes["checksums"]["../../../../evil"] = f"../../../../{outside.name}"
    notes["../../evil"] = str(outside)
    path.write_text(json.dumps(notes))


@pytest.mark.parametrize(
    "edit",
    [
        leaf_names,
        absolute_leaf_names,
        one_more_leaf,
        plain_files,
        item_names,
        handler_names,
        names_of_checksums,
        values_of_notes,
    ],
)
def test_names_in_a_checkpoint_lead_nowhere(tmp_path, run, capfd, edit):
    """It is refused, or the one before is taken, or the edit has no effect."""
    outside = tmp_path / "outside"
    shutil.copytree(run / "checkpoints" / "20", outside)
    edit(run / "checkpoints" / "20", outside)
    before = contents(outside)
    status = train(run, *LONGER)
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    assert status in (0, 1, 2)
    if status:
        assert err.startswith("cnnjax: error: ")
        assert err.count("\n") == 1
        assert str(run / "checkpoints" / "20") in err
    else:
        assert err == ""
        assert "resuming after step" in out
    assert contents(outside) == before
    assert {path.name for path in tmp_path.iterdir()} == {"run", "outside"}


@pytest.mark.parametrize(
    "name", ["20", "99", "40.orbax-checkpoint-tmp", "20.orbax-checkpoint-tmp"]
)
def test_a_link_among_the_checkpoints_harms_nothing_that_it_leads_to(
    tmp_path, run, capfd, name
):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "letter").write_text("mine")
    link = run / "checkpoints" / name
    if link.exists():
        shutil.rmtree(link)
    link.symlink_to(outside)
    assert train(run, *LONGER) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "resuming after step" in out
    assert contents(outside) == {"letter": b"mine"}


@pytest.mark.parametrize("name", ["config.json.new", "metrics.jsonl.new"])
def test_a_link_in_the_workdir_is_not_written_through(tmp_path, run, name):
    (tmp_path / "letter").write_text("mine")
    (run / name).symlink_to(tmp_path / "letter")
    train(run, *LONGER)
    assert (tmp_path / "letter").read_text() == "mine"


def test_a_config_on_disk_runs_no_code(run, capfd):
    """The file of a run is text by names; what looks like Python stays text."""
    tree = json.loads((run / "config.json").read_text())
    tree["model"]["kernel_init"] = "__import__('os').system('touch evil')"
    (run / "config.json").write_text(json.dumps(tree))
    assert evaluate(run) == 2
    assert "kernel_init" in error(capfd)
    assert not list(run.rglob("evil"))


@pytest.mark.slow
def test_the_page_of_a_comparison_escapes_the_name_of_the_data(tmp_path):
    path = write_npz(tmp_path / "<img src=x onerror=alert(1)>&\"'.npz")
    changes = {"data.source": f"npz:{path}", "batch_size": "16", "model.widths": "(2,)"}
    config = load_config(ROOT / "configs" / "digits.py", changes)
    page = tmp_path / "page.html"
    assert compare(Request(config, ops=["relu"], html=str(page)))
    html = page.read_text()
    assert "<img" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;" in html
    assert "<script" not in html
