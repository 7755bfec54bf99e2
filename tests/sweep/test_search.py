"""``cnnjax sweep --search``: proposals, pruning, and continuing a search."""

import json
import math
import sys
from pathlib import Path

import pytest

import cnnjax.sweep.command  # noqa: F401  # before one of its parts is replaced
from cnnjax.cli import main
from cnnjax.config.versions import to_file
from cnnjax.errors import ConfigError
from cnnjax.sweep import train_runs
from cnnjax.sweep.choices import parse_sets
from cnnjax.sweep.proposals import Method, make_sampler, open_study, propose
from cnnjax.train.run.metrics import Monitor
from tests.support.train.faults import DIGITS, error

SETS = ["optimizer.learning_rate=1e-4..1:log", "batch_size=8..64", "model.dropout=0,.5"]
LOSS = Monitor("loss", higher_is_better=False)

# Stands in for cnnjax train: the farther the learning rate is from 0.01, the worse.
PROGRAM = """
import json, os, signal, sys, time
os.chdir(sys.argv[1])
number, loss = int(sys.argv[2]), float(sys.argv[3])
if number == 1:
    print("cnnjax: error: bad luck")
    raise SystemExit(1)
signal.signal(signal.SIGTERM, lambda number, _: sys.exit(143))
with open("metrics.jsonl", "a") as file:
    for step in (1, 2):
        record = {"kind": "validation", "step": step, "loss": loss, "seconds": 1.0}
        print(json.dumps(record), file=file, flush=True)
    if number > 5 and loss > 1.5:
        time.sleep(20)
    print('{"kind": "test", "step": 2, "loss": 1.0}', file=file)
"""


@pytest.fixture
def search(tmp_path, monkeypatch):
    """The exit status of a search in ``tmp_path``, and the runs of its table."""

    def words(run, folder, config):
        workdir = folder / run.name
        (workdir / "config.json").write_text(to_file(run.config))
        loss = abs(math.log10(run.values["optimizer.learning_rate"]) + 2)
        arguments = [str(workdir), str(run.number), str(loss)]
        return [sys.executable, "-S", "-c", PROGRAM, *arguments]

    monkeypatch.setattr(train_runs, "train_command", words)

    def begin(*arguments):
        sets = [word for text in SETS for word in ("--set", text)]
        command = ["sweep", DIGITS, f"--workdir={tmp_path / 'q'}", *sets, *arguments]
        status = main(command)
        file = tmp_path / "q" / "sweep.json"
        runs = json.loads(file.read_text())["runs"] if file.exists() else []
        return status, {run["number"]: run for run in runs}

    return begin


def studied(folder):
    return open_study(folder, Method("random", 1), parse_sets(SETS, []), LOSS)


@pytest.mark.slow
def test_hopeless_runs_are_pruned_and_the_search_continues(search, tmp_path, capfd):
    status, runs = search("--search=random", "--trials=8")
    assert status == 1  # run 1 failed
    states = [runs[number]["state"] for number in range(8)]
    assert states[:6] == ["finished", "failed", *4 * ["finished"]]
    assert runs[1]["reason"] == "bad luck"
    losses = [runs[n]["validation"].get("loss", math.inf) for n in range(8)]
    expected = ["pruned" if loss > 1.5 else "finished" for loss in losses[6:]]
    assert states[6:] == expected
    assert "pruned" in expected  # with this seed
    best = min(runs.values(), key=lambda r: r["validation"].get("loss", math.inf))
    study = studied(tmp_path / "q")
    assert study.best_trial.number == best["number"]
    assert 8 <= best["settings"]["batch_size"] <= 64
    assert best["name"].startswith(f"trial={best['number']:03},learning_rate=")

    study.sampler = make_sampler(Method("random", 9), 8)
    begun = propose(study.ask(), parse_sets(SETS, []))  # and it is killed
    capfd.readouterr()
    status, after = search("--search=random", "--trials=9")
    told = "9 runs: 6 finished, 1 failed, 1 pruned, 1 not started; 0 to be proposed"
    assert told in capfd.readouterr().out
    assert after[8]["state"] in ("finished", "pruned")
    rate = float(begun["optimizer.learning_rate"])
    assert after[8]["settings"]["optimizer.learning_rate"] == rate
    assert {n: r["settings"] for n, r in after.items() if n < 8} == {
        n: r["settings"] for n, r in runs.items()
    }


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_a_stopped_search_proposes_the_same(tmp_path, name):
    method, spaces = Method(name, 12, seed=3), parse_sets(SETS, [])

    def propose_all(folder, reopens):
        folder.mkdir()
        study, found = open_study(folder, method, spaces, LOSS), []
        for number in range(12):
            if reopens:
                study = open_study(folder, method, spaces, LOSS)
            study.sampler = make_sampler(method, number)
            trial = study.ask()
            found.append(propose(trial, spaces))
            study.tell(trial, number % 5)
        return found

    whole = propose_all(tmp_path / "whole", False)
    assert propose_all(tmp_path / "pieces", True) == whole
    assert len({json.dumps(texts) for texts in whole}) == 12
    for texts in whole:
        assert 1e-4 <= float(texts["optimizer.learning_rate"]) <= 1
        assert 8 <= int(texts["batch_size"]) <= 64
        assert texts["model.dropout"] in ("0", ".5")


def test_another_search_or_a_damaged_one_is_refused(tmp_path):
    studied(tmp_path)
    for method, sets in [
        (Method("tpe", 1), SETS),
        (Method("random", 1, seed=1), SETS),
        (Method("random", 1), SETS[:1]),
    ]:
        with pytest.raises(ConfigError, match="holds a search with a different --set"):
            open_study(tmp_path, method, parse_sets(sets, []), LOSS)
    journal = tmp_path / "search.journal"
    journal.write_text("[]\n" + journal.read_text())
    with pytest.raises(ConfigError, match=r"search\.journal cannot be read"):
        studied(tmp_path)
    journal.unlink()
    journal.symlink_to(Path("elsewhere"))
    with pytest.raises(ConfigError, match="cannot be read"):
        studied(tmp_path)


def test_bad_commands_are_refused(search, tmp_path, monkeypatch, capfd):
    for words, message in [
        (["--trials=3"], "--trials needs --search"),
        (["--search=tpe"], "--trials is None, expected 1 or more"),
        (["--search=tpe", "--trials=3", "--list"], "are for grids"),
        (["--search=tpe", "--trials=3", "--search-seed=-1"], "--search-seed is -1"),
        (
            ["--search=tpe", "--trials=3", "--set", "seed=0:3"],
            "seed cannot be searched",
        ),
        (
            ["--search=tpe", "--trials=3", "--set", "optimizer.momentum=0..2"],
            "the run with optimizer.learning_rate=0.0001",
        ),
    ]:
        assert search(*words)[0] == 2
        assert message in error(capfd)
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert search("--search=tpe", "--trials=3")[0] == 2
    assert "pip install 'cnnjax[sweep]'" in error(capfd)
    assert not (tmp_path / "q").exists()
