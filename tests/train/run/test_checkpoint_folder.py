"""Checkpoints below folders of any name, read by processes with other settings."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest

from cnnjax.errors import CheckpointError, ConfigError
from cnnjax.optim.groups import Groups
from cnnjax.optim.optimizers import make_optimizer, optimizer_names
from cnnjax.train.run import folder_name
from cnnjax.train.run.checkpoint import Checkpoints
from cnnjax.train.run.folder_name import check_name
from cnnjax.train.step.state import TrainState, named_leaves
from tests.optim.test_optimizers import OPTIONS, REFUSED
from tests.support.train.faults import DIGITS, ROOT, TINY, assert_same, contents

NOTES = {"progress": {}, "config": {"optimizer": {"momentum": None}}}
NAMES = [
    "lr=[0.1]",
    "[!a]",
    "a*b",
    "**",
    "a?b",
    r"a\b",
    "a{b}%20#",
    "~root",
    "a\nb ",
    "gs:",
    "file:",
    "x.__lock",
    "日本",
    os.fsdecode(b"caf\xe9"),
    "x" * 255,
]

ONE_FROZEN = {"kernel": "frozen", "bias": "trained"}


def make(optimizer=None, words=2):
    optimizer = optimizer or make_optimizer("sgd", lambda step: 0.1)
    params = {"kernel": np.ones((2, 3), np.float32), "bias": np.ones(3, np.float32)}
    return TrainState(
        step=np.int32(5),
        params=params,
        statistics={},
        opt_state=jax.tree.map(np.array, optimizer.init(params)),
        key=np.arange(words, dtype=np.uint32),
        average={},
        rate_scale=np.float32(1),
        usual_loss=np.float32(2),
    )


def save(folder, state, *steps, **options):
    checkpoints = Checkpoints(folder, 1, print, **options)
    for step in steps:
        checkpoints.save(step, jax.tree.map(np.array, state._asdict()), NOTES)
    checkpoints.finish()
    checkpoints.close()


def restore(folder, like, **options):
    checkpoints = Checkpoints(folder, 1, print, **options)
    try:
        return checkpoints.restore(like)
    finally:
        checkpoints.close()


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_folder_of_any_name_is_written_and_read(tmp_path, name):
    folder, state = tmp_path / name / "checkpoints", make()
    check_name(folder.parent)
    save(folder, state, 3, 5)
    assert [path.name for path in folder.iterdir()] == ["5"]
    for read_only in (False, True):
        found = restore(folder, state, read_only=read_only)
        assert_same(TrainState(**found.arrays), state)
    assert not (tmp_path / "damaged").exists()


def test_a_removed_checkpoint_leaves_the_others_before_its_files_go(tmp_path):
    """So a process that is killed meanwhile leaves no half of a checkpoint there."""
    folder, state = tmp_path / "checkpoints", make()
    checkpoints = Checkpoints(folder)
    arrays = jax.tree.map(np.array, state._asdict())
    checkpoints.save(3, arrays, NOTES)
    checkpoints.save(5, arrays, NOTES)
    checkpoints._manager.wait_until_finished()  # the process is killed here
    removed = folder / "removed" / "3"
    assert (removed / "notes" / "metadata").is_file()
    assert sorted(path.name for path in folder.iterdir()) == ["5", "removed"]
    (removed / "notes" / "metadata").unlink()
    assert restore(folder, state, read_only=True) is not None
    assert removed.exists()
    assert restore(folder, state) is not None
    assert [path.name for path in folder.iterdir()] == ["5"]
    checkpoints.close()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x" * 256, "a part of more than 255 bytes"),
        ("x/" * 2000, "bytes, expected at most"),
        ("a\0b", "a zero byte"),
    ],
    ids=["part", "whole", "zero"],
)
def test_a_name_that_cannot_be_is_refused(tmp_path, name, message):
    with pytest.raises(ConfigError, match=f"{message}.*give another --workdir"):
        check_name(tmp_path / name)


def test_without_the_system_s_names_only_plain_folders_are_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_name, "OPEN_FILES", tmp_path / "none")
    check_name(tmp_path / "run 1, lr=0.1")
    with pytest.raises(ConfigError, match="letters, digits, spaces"):
        check_name(tmp_path / "lr=[0.1]")


def test_a_state_of_another_width_of_numbers_is_not_damaged(tmp_path):
    folder, state = tmp_path / "checkpoints", make()
    wide = state._replace(rate_scale=np.float64(1))
    save(folder, wide, 5)
    before = contents(folder)
    message = "rate_scale has shape .. of float64, expected .*float32.*"
    for like, cause in (
        (state, message + "written with JAX_ENABLE_X64=1"),
        (wide._replace(usual_loss=np.float64(1)), "written without JAX_ENABLE_X64"),
        (make(words=4), "JAX_DEFAULT_PRNG_IMPL"),
    ):
        like = like if like is state else like._replace(rate_scale=np.float64(1))
        with pytest.raises(CheckpointError, match=cause):
            restore(folder, like)
    assert contents(folder) == before
    # As whatever it is, as for the start of another run, it is read all the same.
    assert restore(folder, None).arrays["rate_scale"].dtype == np.float64


@pytest.mark.slow
def test_a_run_resumed_without_jax_enable_x64_loses_nothing(tmp_path):
    command = [sys.executable, "-P", "-m", "cnnjax", "train", DIGITS, *TINY]
    command += [f"--workdir={tmp_path}", "--config.duration=4 steps"]
    for x64, status in (("1", 0), ("0", 1)):
        before = contents(tmp_path / "checkpoints")
        result = subprocess.run(
            command,
            env=os.environ | {"JAX_ENABLE_X64": x64},
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        assert result.returncode == status, result.stderr
    assert "JAX_ENABLE_X64" in result.stderr
    assert result.stderr.count("\n") == 1
    assert contents(tmp_path / "checkpoints") == before


def test_a_checkpoint_of_a_newer_version_is_not_damaged(tmp_path, monkeypatch):
    folder, state = tmp_path / "checkpoints", make()
    with monkeypatch.context() as patch:
        ours = {"cnnjax": "0.1.0", "orbax-checkpoint": "99.1"}
        patch.setattr("cnnjax.train.run.integrity.our_versions", lambda: ours)
        save(folder, state, 5)
    (folder / "5" / "state" / "_METADATA").write_text("of another form")
    before = contents(folder)
    with pytest.raises(CheckpointError, match=r"written by orbax-checkpoint 99\.1"):
        restore(folder, state)
    assert contents(folder) == before


@pytest.mark.parametrize(
    "changes",
    [{"clip_norm": 1.0}, {"weight_decay": 0.1}, {"decay_mode": "l2"}],
    ids=str,
)
def test_clipping_and_decay_can_be_changed_on_a_resume(tmp_path, changes):
    before = make_optimizer("adam", lambda step: 0.1, weight_decay=0.2)
    after = make_optimizer("adam", lambda step: 0.1, **{"weight_decay": 0.2} | changes)
    state = make(before)
    save(tmp_path / "checkpoints", state, 5)
    found = restore(tmp_path / "checkpoints", make(after))
    assert_same(TrainState(**found.arrays), state)


@pytest.mark.slow
def test_every_optimizer_is_restored_exactly(tmp_path):
    optimizers = {
        name: make_optimizer(name, lambda step: 0.1, options=OPTIONS.get(name))
        for name in sorted(set(optimizer_names()) - REFUSED.keys())
    }
    state = make()
    memory = {
        name: optimizer.update(state.params, optimizer.init(state.params), state.params)
        for name, optimizer in optimizers.items()
    }
    state = state._replace(
        opt_state={name: after for name, (_, after) in memory.items()}
    )
    save(tmp_path / "checkpoints", state, 5)
    found = TrainState(**restore(tmp_path / "checkpoints", state).arrays)
    assert_same(found, state)
    for name, optimizer in optimizers.items():
        one, other = (
            optimizer.update(s.params, s.opt_state[name], s.params)
            for s in (state, found)
        )
        assert_same(one, other)


def test_a_change_that_needs_another_state_names_the_setting(tmp_path):
    settings = {"optimizer": {"momentum": 0.9}}
    momentum = make_optimizer("sgd", lambda s: 0.1, options={"momentum": 0.9})
    save(tmp_path / "checkpoints", make(), 5)
    with pytest.raises(CheckpointError, match=r"optimizer\.momentum was None and is 0"):
        restore(tmp_path / "checkpoints", make(momentum), settings=settings)


@pytest.mark.parametrize("clips", [False, True])
@pytest.mark.parametrize("decays", [False, True])
def test_a_state_of_a_numbered_chain_is_read(tmp_path, clips, decays):
    """Older versions saved the links by their numbers, and only those in use."""
    ours, state = make_optimizer("adam", lambda step: 0.1), make()
    adam = optax.adam(lambda step: 0.1).init(state.params)
    adam = jax.tree.map(lambda x: np.array(x) + 7, adam)
    links = [optax.EmptyState()] * clips + [adam]
    links += [ours.init(state.params)["decay"]._replace(count=np.int32(5))] * decays
    save(tmp_path / "checkpoints", state._replace(opt_state=tuple(links)), 5)
    found = restore(tmp_path / "checkpoints", make(ours)).arrays["opt_state"]
    assert_same(found["optimizer"], adam)
    assert found["decay"].count == 5


def test_a_state_with_that_of_frozen_parameters_is_read(tmp_path):
    """Older versions saved an optimizer state for all parameters."""
    groups = Groups(lambda params: ONE_FROZEN, {"trained": 0, "frozen": None})
    all_of_them, some = (
        make(make_optimizer("adam", lambda step: 0.1, groups=each))
        for each in (None, groups)
    )
    old = jax.tree.map(lambda x: x + 7, all_of_them.opt_state)
    save(tmp_path / "checkpoints", all_of_them._replace(opt_state=old), 5)
    found = dict(
        named_leaves(restore(tmp_path / "checkpoints", some).arrays["opt_state"])
    )
    trained = {
        name.rpartition("inner_state.")[2]: leaf
        for name, leaf in found.items()
        if not name.endswith("kernel")
    }
    assert len(trained) == len(found)
    expected = {n: x for n, x in named_leaves(old) if not n.endswith("kernel")}
    assert trained.keys() == expected.keys()
    assert_same(trained, expected)


@pytest.mark.slow
def test_what_was_kept_for_good_stays_with_another_keep_every(tmp_path):
    folder, state = tmp_path / "checkpoints", make()

    def steps():
        return {int(path.name) for path in folder.iterdir()}

    save(folder, state, *range(3, 21), keep_every=5)
    assert steps() == {5, 10, 15, 20}
    save(folder, state, *range(21, 31), keep_every=30)
    save(folder, state, *range(31, 34))
    assert steps() == {5, 10, 15, 20, 30, 33}
    notes = json.loads((folder / "10" / "notes" / "metadata").read_text())
    assert notes["permanent"] is True
