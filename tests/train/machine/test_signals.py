"""Signals that come while Python cannot look at them, and signals that are ignored."""

import os
import signal
import subprocess
import sys
import time
from signal import SIGHUP, SIGINT, SIGTERM, SIGUSR1

import pytest

from cnnjax.errors import Interrupted
from cnnjax.train.machine.signals import watch
from cnnjax.train.machine.stop_request import StopRequest, decode, encode

STUCK = """
import ctypes
from cnnjax.train.machine.signals import watch
lock, mutex = ctypes.CDLL(None).pthread_mutex_lock, ctypes.create_string_buffer(64)
with watch():
    lock(mutex)
    print("ready", flush=True)
    lock(mutex)  # for ever, and no signal interrupts it
"""


@pytest.mark.parametrize("numbers", [(SIGTERM, SIGTERM), (SIGINT, SIGINT)])
def test_the_second_signal_ends_a_process_that_is_stuck_in_c(numbers):
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(numbers[0])
        time.sleep(0.3)
        assert process.poll() is None
        begin = time.monotonic()
        process.send_signal(numbers[1])
        assert process.wait(10) == 128 + numbers[1]
        assert time.monotonic() - begin < 5
    finally:
        process.kill()
        process.stdout.close()


@pytest.mark.parametrize("number", [SIGINT, SIGTERM, SIGUSR1, SIGHUP])
def test_the_first_signal_is_noted_and_handlers_come_back(number):
    before = signal.getsignal(number)
    with watch() as stop:
        assert stop() is None
        os.kill(os.getpid(), number)
        assert stop() == number
    assert signal.getsignal(number) is before
    assert signal.set_wakeup_fd(-1) == -1
    assert Interrupted(number, 3).status == 128 + number
    assert decode(encode(StopRequest(number))) == StopRequest(number)


def test_an_ignored_hangup_stays_ignored():
    """So ``nohup`` asks for it."""
    before = signal.signal(SIGHUP, signal.SIG_IGN)
    try:
        with watch() as stop:
            os.kill(os.getpid(), SIGHUP)
            assert stop() is None
        assert signal.getsignal(SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(SIGHUP, before)
