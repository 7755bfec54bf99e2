"""Steps of a run again: equal where nothing changed, and named where something did."""

import contextlib
import json
import os
import shutil

import numpy as np
import pytest

from cnnjax.cli import main
from cnnjax.train.run.checkpoint import Checkpoints
from tests.support.train.faults import SHORT, contents, damage_flip, error, train

OFTEN = [*SHORT, "--config.log_every=2 steps"]


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A run of 20 steps with a log line each second step, and two checkpoints."""
    folder = tmp_path_factory.mktemp("logged") / "run"
    assert train(folder, *OFTEN) == 0
    return folder


@pytest.fixture
def copy(tmp_path, logged):
    """A copy of that run to spoil."""
    return shutil.copytree(logged, tmp_path / "copy")


def check(run, *words):
    return main(["upgrade-check", f"--workdir={run}", *words])


def tamper(run, step, change):
    """Writes a checkpoint anew, whole but with other notes or arrays."""
    with contextlib.closing(Checkpoints(run / "checkpoints", keep=9)) as checkpoints:
        found = checkpoints.restore(None, step)
        assert found
        change(found.arrays, found.notes)
    shutil.rmtree(run / "checkpoints" / str(step))
    with contextlib.closing(Checkpoints(run / "checkpoints", keep=9)) as checkpoints:
        checkpoints.save(step, found.arrays, found.notes)
        checkpoints.finish()


def test_a_run_equals_itself_and_is_left_alone(logged, tmp_path, capsys):
    before = contents(logged)
    times = {path: os.stat(path).st_mtime_ns for path in logged.rglob("*")}
    assert check(logged, f"--json={tmp_path / 'found.json'}") == 0
    assert contents(logged) == before
    assert {path: os.stat(path).st_mtime_ns for path in logged.rglob("*")} == times
    out = capsys.readouterr().out
    assert "steps 16 to 20, taken again from the checkpoint of step 15" in out
    assert "logged losses that differ: none of 3" in out
    assert "equal, bit for bit: the state after step 20, the logged losses" in out
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["equal"], found["first_departure"]) == (True, None)
    assert found["recorded"] == found["present"]
    assert found["recorded"]["jax"].startswith("0.")
    assert [loss["step"] for loss in found["losses"]] == [16, 18, 20]
    layers = {layer["layer"]: layer for layer in found["states"][0]["layers"]}
    assert {"Conv_0", "Dense_1", "(optimizer)"} <= layers.keys()
    assert all(layer["ulp"] == 0 for layer in layers.values())


def test_from_the_initial_weights_past_a_checkpoint(logged, capsys):
    assert check(logged, "--from-step=0", "--steps=20") == 0
    out = capsys.readouterr().out
    assert "steps 1 to 20, taken again from the start" in out
    assert "logged losses that differ: none of 10" in out
    assert "the state after step 15, the state after step 20, the logged" in out


@pytest.mark.slow
def test_another_backend_is_told_apart_layer_by_layer(logged, tmp_path, capsys):
    words = ["--backend=xla", "--from-step=0", f"--json={tmp_path / 'found.json'}"]
    assert check(logged, *words) == 1
    out = capsys.readouterr().out
    assert "XLA's kernels" in out
    assert "of 7\nstep " in out
    found = json.loads((tmp_path / "found.json").read_text())
    first = min(loss["step"] for loss in found["losses"] if not loss["equal"])
    assert found["first_departure"] == first < 15
    assert f"recorded, first between steps {first - 1} and {first}" in out
    layers = {layer["layer"]: layer for layer in found["states"][0]["layers"]}
    assert layers["Conv_0"]["ulp"] > 0
    assert 0 < layers["Conv_0"]["relative"] < 1e-4


def test_without_a_checkpoint_after_the_steps_only_losses_are_compared(logged, capsys):
    assert check(logged, "--steps=3") == 0
    out = capsys.readouterr().out
    assert "no state was compared: there is no checkpoint from step 16 to 18" in out
    assert "equal, bit for bit: the logged losses" in out


@pytest.mark.slow
def test_one_checkpoint_is_reached_from_the_initial_weights(copy, capsys):
    shutil.rmtree(copy / "checkpoints" / "20")
    assert check(copy) == 0
    assert "steps 1 to 15, taken again from the start" in capsys.readouterr().out
    assert check(copy, "--from-step=15") == 0
    out = capsys.readouterr().out
    assert "logged losses that differ: none of 3" in out
    assert "no state was compared" in out


def test_a_run_without_logged_losses(copy, capsys):
    (copy / "metrics.jsonl").unlink()
    assert check(copy) == 0
    assert "no loss was compared" in capsys.readouterr().out


def test_a_changed_loss_is_found(copy, capsys):
    path = copy / "metrics.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        if (record["kind"], record["step"]) == ("train", 18):
            record["loss"] = float(np.nextafter(record["loss"], 9))
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert check(copy) == 1
    out = capsys.readouterr().out
    assert "logged losses that differ: 1 of 3" in out
    assert "first between steps 17 and 18" in out


def test_a_changed_state_is_found(copy, capsys):
    def change(arrays, notes):
        kernel = arrays["params"]["Conv_1"]["kernel"]
        kernel.flat[0] = np.nextafter(kernel.flat[0], np.float32(9))

    tamper(copy, 20, change)
    assert check(copy) == 1
    rows = capsys.readouterr().out.splitlines()
    (row,) = [row.split() for row in rows if row.startswith("Conv_1")]
    assert (row[:3], row[-1]) == (["Conv_1", "2", "1"], "differ")
    assert rows[-1].endswith("first between steps 19 and 20")


def test_a_damaged_checkpoint_is_an_error(copy, capfd):
    damage_flip(copy / "checkpoints" / "20")
    assert check(copy) == 1
    err = capfd.readouterr().err
    assert "step 20" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_versions_that_the_run_did_not_record_or_recorded_differently(copy, capsys):
    def forget(arrays, notes):
        del notes["environment"]

    tamper(copy, 20, forget)
    assert check(copy) == 0
    assert "(not recorded)" in capsys.readouterr().out

    def spoil(arrays, notes):
        notes["environment"] = {"jax": "0.9\x1b[31m", "extra": [1], "numpy": None}

    tamper(copy, 20, spoil)
    assert check(copy) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "differs" in out
    assert "(not recorded)" not in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from-step=7"], "--from-step is 7, expected 0 or the step of a checkpoint"),
        (["--from-step=20"], "the run recorded nothing after step 20"),
        (["--steps=0"], "--steps is 0, expected 1 or more"),
        (["--steps=6"], "--steps is 6, expected at most 5"),
        (["--from-step=0", "--steps=1"], "--steps is 1, expected at least 2"),
    ],
)
def test_steps_that_cannot_be_compared(logged, capfd, words, message):
    assert check(logged, *words) == 2
    assert message in error(capfd)


def test_a_folder_without_a_run(tmp_path, capfd):
    assert check(tmp_path) == 2
    assert "holds no" in (message := error(capfd)) or "there is no" in message
