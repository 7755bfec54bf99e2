"""The end of a process, each in a process of its own."""

import subprocess
import sys
import time

import pytest

HANGING = """
import threading, time, sys, atexit
from cnnjax.leaving import end_with
def main():
    print("said last")
    {code}
end_with(main)
"""
THREAD = "threading.Thread(target=time.sleep, args=(60,)).start(); return 3"


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
