"""How a process keeps its memory, and how it ends."""

import subprocess
import sys
import time

import pytest

from cnnjax.process import keep_freed_memory

HANGING = """
import threading, time, sys, atexit
from cnnjax.process import end_with
def main():
    print("said last")
    {code}
end_with(main)
"""
THREAD = "threading.Thread(target=time.sleep, args=(60,)).start(); return 3"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "status"),
    [
        (THREAD, 3),
        ("atexit.register(time.sleep, 60); return 143", 143),
        ("return 0", 0),
        ("sys.exit(2)", 2),
        ("sys.exit()", 0),
        ("sys.exit('a reason')", 1),
        ("raise ValueError('a reason')", 1),
    ],
    ids=["thread", "atexit", "end", "exit", "none", "text", "error"],
)
def test_a_process_ends_with_its_status_whatever_still_runs(code, status):
    begin = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-P", "-c", HANGING.format(code=code)],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert result.returncode == status
    assert result.stdout == "said last\n"
    assert ("a reason" in result.stderr) is ("a reason" in code)
    assert time.monotonic() - begin < 40


PROGRAM = """
import resource
import sys

from cnnjax.process import keep_freed_memory

kept = sys.argv[1] == "kept" and keep_freed_memory()
assert kept == (sys.argv[1] == "kept")

import jax
import jax.numpy as jnp

# Three arrays of 64 MB that live between a reduction and the next one.
@jax.jit
def step(x):
    for _ in range(3):
        x = jnp.cumsum(x, axis=0) * 0.5
    return x.sum()

x = jnp.ones((4096, 4096))
counts = [resource.getrusage(resource.RUSAGE_SELF).ru_minflt]
for _ in range(40):
    step(x).block_until_ready()
    counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
late = [after - before for before, after in zip(counts[20:], counts[21:])]
print(sorted(late)[len(late) // 2])
"""


def count_faults(how):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.alone
def test_most_steps_find_the_memory_of_those_before():
    """Not the first: what lies between the blocks depends on the threads' order."""
    assert count_faults("kept") < 0.01 * count_faults("returned")


def test_the_user_may_have_it_returned(monkeypatch):
    monkeypatch.setenv("CNNJAX_KEEP_MEMORY", "0")
    assert not keep_freed_memory()
