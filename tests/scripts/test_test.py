"""scripts/test, with other programs in the place of those that it calls."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
SPLIT = "--xla_cpu_parallel_codegen_split_count=1"
EMITTERS = "--xla_cpu_use_fusion_emitters=false"


@pytest.fixture
def run(tmp_path):
    """Runs the script in a tree without tests; what it installed, and how it tested."""
    scripts, programs = tmp_path / "scripts", tmp_path / ".venv" / "bin"
    (tmp_path / "cnnjax").mkdir()
    for name in ("pyproject.toml", "constraints.txt", "CMakeLists.txt"):
        (tmp_path / name).write_text("")
    scripts.mkdir()
    programs.mkdir(parents=True)
    shutil.copy(SCRIPTS / "test", scripts)
    calls = tmp_path / "calls"

    def put(path, text):
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def begin(*words, flag_exists=True, **environment):
        calls.write_text("")
        put(scripts / "install", f'echo install "$@" >> {calls}')
        for name in ("ruff", "pyright", "lint-imports", "apt-get", "sudo", "mpirun"):
            put(programs / name, "")
        put(programs / "pip", f'echo pip "$@" >> {calls}')
        put(programs / "python", "" if flag_exists else "exit 1")
        place = "$JAX_DISABLE_MOST_OPTIMIZATIONS $XLA_FLAGS"
        put(programs / "pytest", f'echo pytest "$@" with {place} >> {calls}')
        subprocess.run(
            [scripts / "test", *words],
            env={"PATH": os.environ["PATH"], **environment},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return calls.read_text().splitlines()

    return begin


@pytest.mark.parametrize(
    ("words", "among"), [([], " and not slow"), (["--all"], "")], ids=["fast", "all"]
)
def test_every_folder_runs_with_the_slow_tests_or_without(run, words, among):
    installed, compiling, others, compiler, on_tpu, alone = run(*words)
    assert installed == "install test"
    assert "libtpu" in compiler
    for call in (compiling, others):
        assert f"-m not alone{among} " in call
        assert "first-cases" not in call
    assert compiling.endswith(f"with 1 {SPLIT} {EMITTERS}")
    assert others.endswith(f"with 1 {SPLIT}")
    paths = [word for word in compiling.split() if word.startswith("tests/")]
    left_out = [word for word in others.split() if word.startswith("--ignore=")]
    assert left_out == [f"--ignore={path}" for path in paths]
    for path in paths:
        assert (SCRIPTS.parent / path).is_dir(), path
    assert on_tpu == "pytest tests/ops/test_on_tpu.py with"
    assert "--ignore=tests/ops/test_on_tpu.py" in compiling
    assert alone == f"pytest -m alone{among} with"


@pytest.mark.parametrize("words", [[], ["-x"]])
def test_quick_is_no_argument_of_pytest(run, words):
    for quick in run("--quick", *words)[1:]:
        assert "--quick" not in quick
        assert "--first-cases -m not alone and not slow" in quick
        assert " ".join(words) in quick


def test_quick_names_files_that_exist(run):
    _, compiling, others = run("--quick")
    words = f"{compiling} {others}".split()
    paths = [word for word in words if word.startswith("tests/")]
    assert len(paths) > 10
    for path in paths:
        assert (SCRIPTS.parent / path).exists(), path


def test_quick_installs_only_what_changed(run, tmp_path):
    def installs(*words):
        return "install test" in run(*words)

    assert installs("--quick")
    assert not installs("--quick")
    for path in ("cnnjax/new.py", "cnnjax/new.cc", "pyproject.toml"):
        (tmp_path / path).write_text("changed")
        assert installs("--quick"), path
    (tmp_path / "cnnjax" / "new.py").write_text("an edit, which needs no installation")
    assert not installs("--quick")
    assert installs()
    assert installs("tests/ops")


def test_other_arguments_go_to_pytest(run):
    _, chosen = run("tests/ops", "-m", "not slow")
    assert chosen == "pytest tests/ops -m not slow with"


def test_a_release_of_xla_without_a_flag_goes_without(run):
    _, compiling, others, *_ = run(flag_exists=False)
    assert compiling.endswith("with 1")
    assert others.endswith("with 1")


def test_the_flags_of_the_environment_stay(run):
    _, compiling, *_ = run(XLA_FLAGS="--xla_dump_to=x")
    assert compiling.endswith(f"with 1 --xla_dump_to=x {SPLIT} {EMITTERS}")


def test_first_cases_are_chosen_after_marks(tmp_path):
    """Of what ``-m`` leaves, one case of each function runs."""
    shutil.copy(SCRIPTS.parent / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_cases.py").write_text(
        """
import pytest

@pytest.mark.parametrize("n", [pytest.param(0, marks=pytest.mark.slow), 1, 2])
def test_numbers(n):
    print("ran", n)

def test_once():
    print("ran once")

@pytest.mark.slow
def test_long():
    print("ran long")
"""
    )
    config = SCRIPTS.parent / "pyproject.toml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-s",
        "-m",
        "not slow",
    ]
    done = subprocess.run(
        [*command, "--first-cases", f"--config-file={config}", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ran = [line for line in done.stdout.split("\n") if "ran" in line]
    assert len(ran) == 2, done.stdout
    assert "ran 1" in done.stdout
    assert "ran once" in done.stdout
