"""The flag that makes a GPU compute the same bits in every run."""

import os
import subprocess
import sys

import pytest

from cnnjax.cli import main
from cnnjax.errors import ConfigError
from cnnjax.train.machine import determinism
from cnnjax.train.machine.determinism import (
    FLAG,
    VARIABLE,
    check_determinism,
    describe_determinism,
    is_deterministic,
    request_determinism,
)
from cnnjax.train.machine.numerics import describe_options

DIGITS = "--config=configs/digits.py"


@pytest.fixture
def not_started(monkeypatch):
    """A process in which JAX has not started its devices yet."""
    monkeypatch.setattr(determinism, "backends_are_initialized", lambda: False)


def seen_by_xla(code, flags=""):
    """What XLA says in a new process after ``code``."""
    check = "from cnnjax.train.machine.determinism import *; import jax"
    text = f"{check}\n{code}\nprint(is_deterministic(), describe_options())"
    found = subprocess.run(
        [sys.executable, "-c", "from cnnjax.train.machine.numerics import *\n" + text],
        env=os.environ | {VARIABLE: flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout


def test_xla_reads_the_flag_if_jax_has_not_started():
    out = seen_by_xla("request_determinism(); jax.devices()")
    assert out.startswith("True")
    assert "'XLA_FLAGS': ''" in out  # which CPUs' numbers do not depend on


def test_a_started_jax_is_left_alone():
    assert seen_by_xla("jax.devices(); request_determinism()").startswith("False")


def test_the_flag_joins_those_of_the_user(monkeypatch, not_started):
    monkeypatch.setenv(VARIABLE, "--xla_dump_to=here")
    request_determinism()
    assert os.environ[VARIABLE] == f"--xla_dump_to=here {FLAG}=true"
    request_determinism()
    assert os.environ[VARIABLE].count(FLAG) == 1


def test_a_file_of_flags_is_left_alone(monkeypatch, not_started):
    monkeypatch.setenv(VARIABLE, "my_flags.txt")
    request_determinism()
    assert os.environ[VARIABLE] == "my_flags.txt"


@pytest.mark.parametrize(
    "flag", [f"{FLAG}=false", f"{determinism.IMPLIED}=0", f"{FLAG}=true {FLAG}=False"]
)
def test_a_flag_to_the_contrary_is_named(monkeypatch, flag, capsys):
    monkeypatch.setenv(VARIABLE, flag)
    with pytest.raises(ConfigError, match=flag.split()[-1]):
        request_determinism()
    assert main(["train", DIGITS, "--config.deterministic=true"]) == 2
    assert "or set deterministic to false" in capsys.readouterr().err


def test_a_gpu_that_started_without_the_flag_is_refused(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert not is_deterministic()
    with pytest.raises(ConfigError, match=f"add that .* {VARIABLE} before Python"):
        check_determinism("gpu")
    check_determinism("cpu")
    check_determinism("tpu")


def test_what_info_says(monkeypatch):
    assert describe_determinism().endswith("changes nothing on this platform, cpu")
    monkeypatch.setattr(determinism.jax, "default_backend", lambda: "gpu")
    assert describe_determinism().startswith("no: two runs may differ")
    monkeypatch.setattr(determinism, "is_deterministic", lambda: True)
    assert describe_determinism() == f"yes: XLA runs with {FLAG}"


def test_only_a_gpu_s_numbers_depend_on_its_flags(monkeypatch):
    flags = "--xla_gpu_autotune_level=0 --xla_cpu_enable_fast_math=true"
    monkeypatch.setenv(VARIABLE, flags)
    assert describe_options()[VARIABLE] == "--xla_cpu_enable_fast_math=true"
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    assert describe_options()[VARIABLE].split() == sorted(flags.split())
