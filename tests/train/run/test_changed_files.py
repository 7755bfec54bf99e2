"""Files of a run that were changed or removed: no other score without a word."""

import json
import shutil

import pytest

from cnnjax.cli import main
from tests.support.train.faults import (
    LONGER,
    SHORT,
    contents,
    damage_flip,
    error,
    evaluate,
    train,
    write_npz,
)

EARLY = [
    "--config.optimizer.learning_rate=0.1",
    "--config.schedule.warmup=0 steps",
    "--config.schedule.name=constant",
    "--config.eval_every=3 steps",
    "--config.early_stopping.patience=3",
    "--config.duration=300 steps",
]


def edit(path, change):
    tree = json.loads(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that stopped early, with its best state behind the last."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    assert train(folder, *SHORT, *EARLY) == 0
    return folder


@pytest.fixture
def early(tmp_path, stopped):
    return shutil.copytree(stopped, tmp_path / "early")


def steps(run):
    return sorted(int(path.name) for path in (run / "checkpoints").iterdir())


def best_step(run):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    validations = [r for r in records if r["kind"] == "validation"]
    return min(validations, key=lambda r: r["loss"])["step"]


def scored(run, capfd, *words):
    capfd.readouterr()
    assert main(["evaluate", f"--workdir={run}", *words]) == 0
    return json.loads(capfd.readouterr().out)


@pytest.mark.slow
def test_each_saved_state_can_be_scored_by_name(early, capfd):
    best, last = best_step(early), steps(early)[-1]
    default = scored(early, capfd)
    assert default["step"] == best
    assert scored(early, capfd, "--step=best") == default
    assert scored(early, capfd, "--step=last")["step"] == last
    for step in steps(early):
        assert scored(early, capfd, f"--step={step}")["step"] == step
    assert scored(early, capfd, f"--step={best}") == default


def test_the_best_state_can_be_scored_without_early_stopping(run, capfd):
    best = best_step(run)
    assert scored(run, capfd)["step"] == 20
    assert scored(run, capfd, "--step=best")["step"] == best
    assert scored(run, capfd, "--step=15")["step"] == 15


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("7", "the checkpoint of step 7 in"),
        ("0", "the checkpoint of step 0 in"),
        ("newest", "--step is 'newest', expected best, last or a number"),
        ("-1", "--step is '-1', expected best, last or a number"),
        ("", "--step is '', expected best, last or a number"),
    ],
)
def test_a_step_that_is_not_there_is_refused(run, capfd, step, message):
    assert main(["evaluate", f"--workdir={run}", f"--step={step}"]) == 2
    text = error(capfd)
    assert message in text
    if step.isdecimal():
        assert "other checkpoints: 15, 20" in text


@pytest.mark.slow
@pytest.mark.parametrize("harm", [shutil.rmtree, damage_flip])
def test_a_lost_best_state_is_told(early, capfd, harm):
    best, last = best_step(early), steps(early)[-1]
    harm(early / "checkpoints" / str(best))
    capfd.readouterr()
    assert evaluate(early) in (1, 2)
    message = capfd.readouterr().err
    assert f"step {best}" in message
    assert f"of step {last}, give --step=last" in message
    assert scored(early, capfd, "--step=last")["step"] == last
    assert train(early, *SHORT, *EARLY) == 0
    told = " ".join(capfd.readouterr().out.split())
    assert (
        f"the best state, of step {best}, is missing or damaged; taking the last one,"
        f" of step {last}"
    ) in told


def test_a_lost_last_state_is_told(run, capfd):
    shutil.rmtree(run / "checkpoints" / "20")
    assert evaluate(run) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["step"] == 15
    assert "the checkpoint of step 20, the last of the run" in err
    assert "is missing; the newest one is that of step 15" in err


@pytest.mark.parametrize("command", [evaluate, lambda run: train(run, *LONGER)])
@pytest.mark.parametrize("name", ["mean", "std"])
def test_a_changed_normalization_is_refused(run, capfd, command, name):
    def change(tree):
        tree[name][0] += 0.001

    edit(run / "normalization.json", change)
    before = contents(run / "checkpoints")
    assert command(run) == 2
    message = error(capfd)
    assert f"{run / 'normalization.json'} gives {name}" in message
    assert "restore the file" in message
    assert contents(run / "checkpoints") == before


def test_a_missing_normalization_is_measured_again(run, capfd):
    first = scored(run, capfd)
    (run / "normalization.json").unlink()
    assert scored(run, capfd) == first


@pytest.mark.parametrize(
    ("section", "key", "value", "status"),
    [
        ("loss", "label_smoothing", 0.2, 0),
        ("optimizer", "learning_rate", 0.003, 0),
        ("early_stopping", "patience", 3, 0),
        ("model", "dropout", 0.75, 2),
        (None, "batch_size", 65, 2),
    ],
)
def test_a_changed_config_is_told_or_refused(run, capfd, section, key, value, status):
    def change(tree):
        (tree[section] if section else tree)[key] = value

    edit(run / "config.json", change)
    assert evaluate(run) == status
    message = capfd.readouterr().err
    name = f"{section}.{key}" if section else key
    assert f"{run / 'config.json'} is not what" in message
    assert f"{name}: " in message
    assert f"-> {value!r}" in message


def test_a_setting_that_config_and_command_change_together_is_refused(run, capfd):
    edit(run / "config.json", lambda tree: tree.update(batch_size=32))
    assert train(run, *LONGER, "--config.batch_size=32") == 2
    message = error(capfd)
    assert "batch_size = 64, and the command says 32" in message


@pytest.mark.slow
def test_other_labels_are_refused_even_without_the_description(tmp_path, capfd):
    path = write_npz(tmp_path / "set.npz")
    words = [*SHORT, f"--config.data.source=npz:{path}", "--config.batch_size=16"]
    run = tmp_path / "run"
    assert train(run, *words) == 0
    write_npz(path, labels=[0, *range(1, 100)] and [(i * 3) % 5 for i in range(100)])
    for _ in ("with data.json", "without"):
        for command in (lambda: evaluate(run), lambda: train(run, *words)):
            capfd.readouterr()
            assert command() == 2
            message = error(capfd)
            assert "split is not that of the run in" in message
            assert "digest of the labels" in message
        (run / "data.json").unlink(missing_ok=True)


@pytest.mark.slow
def test_pixels_changed_under_the_same_labels_are_refused(tmp_path, capfd):
    path = write_npz(tmp_path / "set.npz")
    words = [*SHORT, f"--config.data.source=npz:{path}", "--config.batch_size=16"]
    run = tmp_path / "run"
    assert train(run, *words) == 0
    write_npz(path, pixels={(40, 3, 3): 7})
    for command in (lambda: evaluate(run), lambda: train(run, *words)):
        capfd.readouterr()
        assert command() == 2
        assert "digest of" in error(capfd)


def test_a_setting_of_a_newer_version_is_called_that(run, capfd):
    def change(tree):
        tree["warp_speed"] = 9
        del tree["cnnjax_version"]  # which older versions did not write

    edit(run / "config.json", change)
    for command in (lambda: evaluate(run), lambda: train(run, *LONGER)):
        assert command() == 2
        message = error(capfd)
        assert "was written by a newer version of cnnjax" in message
        assert "unknown setting 'warp_speed'" in message
        assert "damaged" not in message


def test_a_setting_is_named_with_the_newer_version_that_wrote_it(run, capfd):
    newer = {"warp_speed": 9, "cnnjax_version": "99.0.0"}
    edit(run / "config.json", lambda tree: tree.update(newer))
    before = contents(run)
    for command in (lambda: evaluate(run), lambda: train(run, *LONGER)):
        assert command() == 2
        message = error(capfd)
        assert f"{run / 'config.json'} sets 'warp_speed', which cnnjax" in message
        assert "cnnjax 99.0.0 wrote it: install that version, or give" in message
    assert contents(run) == before
