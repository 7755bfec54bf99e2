"""How processes find each other: each of them here is a thread."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cnnjax.errors import ConfigError
from cnnjax.train.machine import rendezvous
from cnnjax.train.machine.rendezvous import Link, meet

SECONDS = 20


@pytest.fixture
def coordinator():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return f"localhost:{probe.getsockname()[1]}"


def outcomes(calls):
    """What each call of ``meet`` gives: a link, or the text of its refusal."""

    def call(arguments):
        try:
            return meet(*arguments)
        except ConfigError as error:
            return str(error)

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


def test_all_meet_and_part(coordinator):
    links = outcomes([(coordinator, 3, number, SECONDS) for number in range(3)])
    assert [type(link) for link in links] == [Link] * 3
    lost = []
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda link: part(link, lost), links))
    time.sleep(0.1)
    assert not lost


def part(link, lost):
    with link.watched(lost.append):
        time.sleep(0.05)


def test_one_that_dies_while_jax_connects_is_missed(coordinator):
    first, second = outcomes([(coordinator, 2, number, SECONDS) for number in range(2)])
    lost = threading.Event()
    with first.watched(lambda number: lost.set()):
        for peer in second._peers.values():
            peer.close()
        assert lost.wait(10)


def test_one_that_never_comes_is_named_by_all(coordinator):
    told = outcomes([(coordinator, 4, number, 1.0) for number in (0, 2)])
    assert told == [told[0]] * 2
    assert "processes 1, 3 did not connect within 1 s" in told[0]


def test_one_that_dies_while_it_waits_is_named(coordinator, monkeypatch):
    monkeypatch.setattr(rendezvous, "REST_SECONDS", 0.1)
    host, _, port = coordinator.rpartition(":")

    def come_and_die():
        peer = rendezvous._reach(host, int(port), time.monotonic() + SECONDS, SECONDS)
        rendezvous._send(peer, {"process": 1, "count": 3, "refusal": None})
        time.sleep(0.1)
        peer.close()

    thread = threading.Thread(target=come_and_die)
    thread.start()
    [told] = outcomes([(coordinator, 3, 0, SECONDS)])
    thread.join()
    assert told == "process 1 ended before all had connected"


def test_without_process_0_the_others_end(coordinator):
    [told] = outcomes([(coordinator, 2, 1, 0.5)])
    assert f"process 0 did not answer at {coordinator} within 0.5 s" in told


@pytest.mark.parametrize("number", [0, 1])
def test_all_hear_why_one_cannot_take_part(coordinator, number):
    refusals = {number: "seed is 'x'"}
    told = outcomes([(coordinator, 3, i, SECONDS, refusals.get(i)) for i in range(3)])
    assert all("seed is 'x'" in text for text in told)
    assert told[2] == f"process {number}: seed is 'x'"


def test_numbers_that_do_not_fit_are_refused(coordinator):
    told = outcomes([(coordinator, 2, 0, SECONDS), (coordinator, 3, 1, SECONDS)])
    assert told == [told[0]] * 2
    assert (
        "process 1 was started with 3 processes in all, and process 0 with 2" in told[0]
    )
    told = outcomes([(coordinator, 3, i, SECONDS) for i in (0, 1, 1)])
    assert all("there are two processes with --process_id=1" in text for text in told)


def test_a_stranger_at_the_port_does_no_harm(coordinator):
    host, _, port = coordinator.rpartition(":")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(meet, coordinator, 2, 0, SECONDS)
        end = time.monotonic() + SECONDS
        with rendezvous._reach(host, int(port), end, SECONDS) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            second = meet(coordinator, 2, 1, SECONDS)
        for link in (first.result(), second):
            part(link, [])


def test_a_port_in_use_is_named(coordinator):
    with socket.create_server(("", int(coordinator.rpartition(":")[2]))):
        [told] = outcomes([(coordinator, 2, 0, SECONDS)])
    assert "is in use; give another --coordinator" in told
