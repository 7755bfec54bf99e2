"""Memory that a network needs at the least, against what there is."""

import resource
import subprocess
import sys
import time

import pytest

from cnnjax.cli import main
from cnnjax.train.machine import footprint, memory_limit
from cnnjax.train.machine.footprint import size_text
from tests.support.train.faults import DIGITS, ROOT, TINY, error, evaluate, train

HUGE = "--config.model.dense=(1000000000,)"


def test_a_network_beyond_all_memory_is_refused_with_its_figures(tmp_path, capfd):
    """512 * 10^9 + 10 * 10^9 weights and some 10^9 biases, of 4 bytes each."""
    begin = time.monotonic()
    assert train(tmp_path / "run", HUGE) == 2
    assert time.monotonic() - begin < 30
    said = error(capfd)
    assert "needs at least 8.37 TB of memory (optimizer state 4.18 TB," in said
    assert "parameters 2.09 TB, gradients 2.09 TB" in said
    assert "Dense_0.kernel of shape (512, 1000000000)" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["benchmark", "compare"])
def test_other_commands_refuse_it_too(command, capfd):
    assert main([command, DIGITS, HUGE]) == 2
    assert "of memory (" in error(capfd)


@pytest.mark.slow
def test_a_run_is_scored_only_where_its_state_fits(run, monkeypatch, capfd):
    """1,034 weights of 4 bytes, thrice with what AdamW remembers, and 4 counters."""
    monkeypatch.setattr(footprint, "memory_limit", lambda: 3 * 4 * 1034)
    assert evaluate(run) == 2
    assert "optimizer state 8.28 kB, parameters 4.14 kB" in error(capfd)
    monkeypatch.setattr(footprint, "memory_limit", lambda: 3 * 4 * 1034 + 100)
    assert evaluate(run) == 0


def test_what_fits_is_not_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(footprint, "memory_limit", lambda: 50_000)
    assert train(tmp_path / "run", *TINY, "--config.duration=1 step") == 0


def test_the_limit_of_the_shell_counts():
    code = "from cnnjax.train.machine import memory_limit as m; print(m.memory_limit())"
    limit = 2**31
    limited = (
        f"import resource; resource.setrlimit({resource.RLIMIT_AS}, ({limit},) * 2)"
    )
    out = subprocess.run(
        [sys.executable, "-c", f"{limited}\n{code}"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    ).stdout
    assert int(out) == limit


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("0::/a/b", "a/memory.max"),
        ("0::/", "memory.max"),
        ("4:memory:/a/b", "memory/a/memory.limit_in_bytes"),
    ],
)
def test_the_limit_of_the_container_counts(tmp_path, monkeypatch, line, file):
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(f"9:name=systemd:/\n{line}\n")
    (proc / "meminfo").write_text("MemTotal: 9 kB\nSwapTotal:       2 kB\n")
    (groups / file).parent.mkdir(parents=True)
    (groups / file).write_text("5000000\n")
    (groups / file).with_name("unlimited").write_text("max\n")
    monkeypatch.setattr(memory_limit, "PROC", proc)
    monkeypatch.setattr(memory_limit, "CGROUPS", groups)
    assert memory_limit.memory_limit() == 5_000_000 + 2048


def test_sizes_are_told_in_three_digits():
    assert [size_text(n) for n in (0, 999, 1000, 20_480, 3.7e12)] == [
        "0 bytes",
        "999 bytes",
        "1 kB",
        "20.5 kB",
        "3.7 TB",
    ]
