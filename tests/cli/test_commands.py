"""The command line as its users call it, most of it in a process of its own."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from cnnjax.cli import main
from tests.support.yardstick import ratio

ROOT = Path(__file__).parents[2]
DIGITS = str(ROOT / "configs" / "digits.py")
SHORT = [
    "--config.duration=8 steps",
    "--config.model.widths=(4, 8)",
    "--config.log_every=4 steps",
    "--config.report=('terminal', 'jsonl')",
]


def run(*words, code=None, **env):
    command = ["-c", code] if code else ["-m", "cnnjax"]
    return subprocess.run(
        [sys.executable, *command, *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | env,
        timeout=300,
    )


@pytest.mark.slow
def test_train_then_evaluate_without_tensorflow(tmp_path):
    """A package of that name is there for any library that looks for one."""
    (tmp_path / "tensorflow").mkdir()
    source = "raise AssertionError('tensorflow was imported')"
    (tmp_path / "tensorflow" / "__init__.py").write_text(source)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    workdir = str(tmp_path / "run")
    words = ["train", f"--config={DIGITS}", f"--workdir={workdir}", *SHORT]
    trained = run(*words, PYTHONPATH=path)
    assert trained.returncode == 0, trained.stderr
    assert trained.stderr == ""
    last, hint = trained.stdout.splitlines()[-2:]
    assert hint == f"for a report: cnnjax report {workdir}"
    assert last.startswith("test accuracy ")
    assert last.endswith("(359 examples)")
    files = {path.name for path in Path(workdir).iterdir()}
    assert files == {
        ".lock",
        "config.json",
        "data.json",
        "metrics.jsonl",
        "model.json",
        "normalization.json",
        "checkpoints",
    }
    evaluated = run("evaluate", f"--workdir={workdir}", PYTHONPATH=path)
    assert evaluated.returncode == 0, evaluated.stderr
    score = json.loads(evaluated.stdout)
    assert f"{score['accuracy']:.2%}" in last
    assert score["examples"] == 359


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config.optimizer.learning_rate=x"], "learning_rate is 'x', expected a"),
        (["--config.optimzer.learning_rate=1"], "did you mean 'optimizer.learning_ra"),
        (["--config.optimizer.beta1=1"], "unknown option of adamw 'beta1'"),
        (["--config.batch_size", "0"], "batch_size is 0, expected a whole number"),
        (["--config.model.dropout=1.5"], "model.dropout is 1.5"),
        (["--config.data.num_classes=3"], "data.num_classes is 3, but digits has 10"),
        (["--config.data.source=idx:/none"], "/none"),
    ],
)
def test_bad_settings_are_refused_with_one_line(tmp_path, capsys, words, message):
    workdir = tmp_path / "run"
    status = main(["train", f"--config={DIGITS}", f"--workdir={workdir}", *words])
    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    assert err.startswith("cnnjax: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not workdir.exists()


def test_a_setting_without_its_value_is_refused(capsys):
    words = ["train", f"--config={DIGITS}", "--config.batch_size", "--workdir=x"]
    assert main(words) == 2
    assert "--config.batch_size has no value" in capsys.readouterr().err


def test_a_foreign_metrics_file_is_kept(tmp_path, capsys):
    (tmp_path / "metrics.jsonl").write_text("shopping list\nmilk\n")
    assert main(["train", f"--config={DIGITS}", f"--workdir={tmp_path}"]) == 2
    assert "move the file away" in capsys.readouterr().err
    assert (tmp_path / "metrics.jsonl").read_text() == "shopping list\nmilk\n"


def test_compare_tells_a_missing_folder_before_work(tmp_path, capsys):
    assert main(["compare", "--ops", f"--json={tmp_path / 'no' / 'x.json'}"]) == 2
    assert "its folder does not exist" in capsys.readouterr().err


def test_settings_go_with_a_config(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", f"--workdir={tmp_path}", "--config.seed=1"])
    assert caught.value.code == 2
    assert "needs --config=FILE" in capsys.readouterr().err


@pytest.mark.slow
def test_a_diverging_run_ends_with_status_1(tmp_path, capsys):
    words = ["train", f"--config={DIGITS}", f"--workdir={tmp_path / 'run'}", *SHORT]
    words += ["--config.optimizer.learning_rate=1e30", "--config.schedule.warmup=0"]
    assert main(words) == 1
    err = capsys.readouterr().err
    assert "cnnjax: error: the loss is" in err
    assert "clip_norm" in err


@pytest.mark.parametrize("words", [[], ["train"], ["evaluate"], ["info"]])
def test_help(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*words, "--help"])
    assert caught.value.code == 0
    assert "usage: cnnjax" in capsys.readouterr().out


def test_info_tells_versions_devices_and_folders(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    for word in ("cnnjax ", "jax 0.", "flax 0.", "cpu", "backend", "compiled programs"):
        assert word in out


def test_importing_cnnjax_is_light():
    code = """
import sys, time
begin = time.process_time()
import cnnjax
seconds = time.process_time() - begin
assert seconds < 0.2, seconds
heavy = {"jax", "flax", "numpy", "optax", "sklearn"} & set(sys.modules)
assert not heavy, heavy
"""
    assert run(code=code).returncode == 0


def test_a_bad_setting_is_told_before_jax_is_loaded():
    code = """
import sys
from cnnjax.cli import main
assert main(sys.argv[1:]) == 2
assert "jax" not in sys.modules
"""
    result = run("train", f"--config={DIGITS}", "--config.seed=-1", code=code)
    assert result.returncode == 0, result.stderr


@pytest.mark.alone
def test_the_first_step_comes_within_four_times_the_imports(tmp_path):
    """From the start of the process, with programs compiled by an earlier run."""
    words = ["train", f"--config={DIGITS}", "--config.duration=1 step"]
    words += [f"--config.compilation_cache={tmp_path / 'cache'}"]

    def train(name):
        assert run(*words, f"--workdir={tmp_path / name}").returncode == 0

    train("a")
    # The whole process, its evaluation and its checkpoint are within the limit too.
    assert ratio(partial(train, "b")) < 4
