"""The run's own files, damaged or not of this run: nothing good is lost to them."""

import json
import shutil

import pytest

from cnnjax.report import read_metrics
from tests.support.train.faults import (
    LONGER,
    SHORT,
    contents,
    damage_truncate,
    error,
    evaluate,
    train,
)

DAMAGES = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "not text": lambda content: b"\xff\xfe\x00" + content,
    "other JSON": lambda content: b"[1, 2]",
    "null": lambda content: b"null",
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["config.json", "normalization.json", "data.json"])
@pytest.mark.parametrize("command", [lambda run: train(run, *LONGER), evaluate])
def test_a_damaged_description_of_the_run_is_refused(run, capfd, command, name, damage):
    (run / name).write_bytes(DAMAGES[damage]((run / name).read_bytes()))
    before = contents(run)
    assert command(run) == 2
    assert str(run / name) in error(capfd)
    assert contents(run) == before


def test_a_damaged_line_of_metrics_is_refused(run, capfd):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text("\n".join([lines[0][:20], *lines[1:]]) + "\n")
    before = contents(run)
    assert train(run, *LONGER) == 2
    assert f"{run / 'metrics.jsonl'}, line 1" in error(capfd)
    assert contents(run) == before


@pytest.mark.parametrize("line", ["{}", '{"step": "five", "kind": "train"}'])
def test_a_line_of_metrics_that_is_no_record_is_refused(run, capfd, line):
    with (run / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    before = contents(run)
    assert train(run, *LONGER) == 2
    assert str(run / "metrics.jsonl") in error(capfd)
    assert contents(run) == before


@pytest.mark.slow
def test_the_checkpoints_of_another_network_are_refused(tmp_path, run, capfd):
    other = tmp_path / "other"
    assert train(other, *SHORT, "--config.model.widths=(4, 9)") == 0
    shutil.rmtree(run / "checkpoints")
    shutil.copytree(other / "checkpoints", run / "checkpoints")
    before = contents(run)
    for command in (lambda: train(run, *LONGER), lambda: evaluate(run)):
        capfd.readouterr()
        assert command() == 1
        err = error(capfd)
        for word in (str(run / "checkpoints" / "20"), "Conv_1", "(9,)", "(8,)"):
            assert word in err
        assert contents(run) == before


def test_where_no_checkpoint_can_be_read_the_run_stops_and_moves_nothing(run, capfd):
    for step in ("15", "20"):
        damage_truncate(run / "checkpoints" / step)
    before = contents(run)
    for command in (lambda: train(run, *LONGER), lambda: evaluate(run)):
        capfd.readouterr()
        assert command() == 1
        err = error(capfd)
        for word in (
            "no intact checkpoint in",
            "step 15: ",
            "step 20: ",
            "nothing was moved",
        ):
            assert word in err
        assert contents(run) == before


NOTES = [
    {"progress": {"seconds": "many"}},
    {"progress": {"seconds": None}},
    {"progress": {"best": 3}},
    {"progress": {"best": {"loss": "low"}}},
    {"progress": {"stale": [], "rollbacks": "x"}},
    {"progress": {"no such": 1}},
    {"progress": 3},
    {"next_example": "x"},
    {"next_example": -64},
    {"next_example": None},
    {"config": 3},
]


@pytest.mark.slow
@pytest.mark.parametrize("changes", NOTES, ids=str)
def test_notes_of_another_kind_do_not_end_the_run(run, capfd, changes):
    """Whether they are passed over or the checkpoint is taken for a damaged one."""
    edit_notes(run, changes)
    assert train(run, *LONGER, "--config.eval_every=1 step") == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "resuming after step 20" in out or "resuming after step 15" in out
    seconds = [r["seconds"] for r in read_metrics(run / "metrics.jsonl")]
    assert all(0 < s < 100 for s in seconds)


@pytest.mark.parametrize("checksums", [[], {}, None, {"step": 1}], ids=str)
def test_arrays_without_their_checksums_are_not_trusted(run, capfd, checksums):
    edit_notes(run, {"checksums": checksums})
    assert train(run, *LONGER) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "checkpoint of step 20 is damaged and was moved" in out
    assert "resuming after step 15" in out


def edit_notes(run, changes):
    path = run / "checkpoints" / "20" / "notes" / "metadata"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


STRAYS = {
    "a file named like a step": ("99", "mine"),
    "a file": ("notes.txt", "mine"),
    "a folder": ("abc/notes.txt", "mine"),
    "a file in a folder named like a step": ("99/notes.txt", "mine"),
    "half a save": ("40.orbax-checkpoint-tmp/state/d/a", "half"),
    "a negative step": ("-5/notes.txt", "mine"),
    "a step with zeros in front": ("00099/notes.txt", "mine"),
}


@pytest.mark.parametrize("stray", STRAYS)
def test_what_else_lies_among_the_checkpoints_is_not_in_the_way(run, capfd, stray):
    name, text = STRAYS[stray]
    path = run / "checkpoints" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert train(run, *LONGER) == 0
    out, err = capfd.readouterr()
    assert "resuming after step 20" in out
    assert err == ""
    assert evaluate(run) == 0
    assert "examples" in capfd.readouterr().out
    # A half save is nobody's; all else may be dear to someone.
    left = [file for file in run.rglob("*") if file.name in (path.name, "notes.txt")]
    if text == "mine":
        assert [file.read_text() for file in left] == ["mine"]


def test_a_file_in_place_of_the_checkpoints_is_refused(run, capfd):
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").write_text("mine")
    assert train(run, *LONGER) in (1, 2)
    assert str(run / "checkpoints") in error(capfd)
    assert (run / "checkpoints").read_text() == "mine"


def test_a_number_changed_in_the_notes_is_noticed(run, capfd):
    """The best loss decides when early stopping ends the run, so it has to be right."""
    path = run / "checkpoints" / "20" / "notes" / "metadata"
    notes = json.loads(path.read_text())
    notes["progress"]["best"]["loss"] += 0.25
    path.write_text(json.dumps(notes))
    assert evaluate(run) == 0
    out, err = capfd.readouterr()
    assert "checkpoint of step 20 is damaged (the checksum of its notes differs)" in err
    assert train(run, *LONGER) == 0
    out, err = capfd.readouterr()
    assert "checkpoint of step 20 is damaged and was moved to" in out
    assert "resuming after step 15" in out


def test_notes_of_an_older_version_have_no_checksum_and_are_read(run, capfd):
    path = run / "checkpoints" / "20" / "notes" / "metadata"
    notes = json.loads(path.read_text())
    del notes["notes_checksum"]
    path.write_text(json.dumps(notes))
    assert train(run, *LONGER) == 0
    assert "resuming after step 20" in capfd.readouterr().out
