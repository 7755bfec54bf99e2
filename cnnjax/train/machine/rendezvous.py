"""How the processes of a run find each other, before JAX connects them.

JAX ends a process without an explanation when another one does not connect. So they
first meet here: each tells process 0 its rank, and process 0 answers all of them when
all have connected, or when it is certain that one will not. The connections stay open
until JAX has connected all processes, so that the death of one in between is noticed.
"""

import contextlib
import errno
import json
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from cnnjax.errors import ConfigError
from cnnjax.streams import printable

LONGEST_LINE = 4096  # bytes
RETRY_SECONDS = 0.2
REST_SECONDS = 30  # to wait for late processes, so that they learn why it failed
_DONE = b"done\n"


class Link:
    """Open connections: from process 0 to all others, from each other to process 0."""

    def __init__(self, peers: dict[int, socket.socket]):
        self._peers = peers
        self._over = threading.Event()

    @contextlib.contextmanager
    def watched(self, lost: Callable[[int], None]) -> Iterator[None]:
        """Calls ``lost`` with the rank of a process that dies before the end."""
        for number, peer in self._peers.items():
            peer.settimeout(None)
            arguments = (number, peer, lost)
            threading.Thread(target=self._watch, args=arguments, daemon=True).start()
        yield
        self._over.set()
        for peer in self._peers.values():
            with contextlib.suppress(OSError):
                peer.sendall(_DONE)
                peer.shutdown(socket.SHUT_WR)

    def _watch(self, number: int, peer: socket.socket, lost) -> None:
        with peer, contextlib.suppress(OSError):
            if peer.recv(len(_DONE)):
                return
        if not self._over.is_set():
            lost(number)


def meet(
    coordinator: str,
    count: int,
    number: int,
    seconds: float,
    refusal: str | None = None,
) -> Link:
    """Waits until all processes have connected.

    Args:
        coordinator: ``host:port`` of process 0.
        count: number of processes.
        number: rank of this process.
        seconds: to wait for the others.
        refusal: why this process cannot take part; the others are told.

    Raises:
        ConfigError: a process did not connect, refused, or was launched with other
            numbers.
    """
    host, _, port = coordinator.rpartition(":")
    host, end = host.strip("[]"), time.monotonic() + seconds
    if number == 0:
        with _listen(int(port), coordinator) as server:
            return _gather(server, count, end, seconds, refusal)
    peer = _reach(host, int(port), end, seconds)
    hello = {"process": number, "count": count, "refusal": refusal}
    try:
        _send(peer, hello)
        peer.settimeout(max(end - time.monotonic(), 1) + 10)
        answer = _receive(peer)
    except (OSError, ValueError) as error:
        peer.close()
        raise ConfigError(
            f"process 0 at {coordinator} ended before all had connected, or something"
            f" else answers there ({error}); see the output of process 0, and start all"
            " processes again"
        ) from error
    if answer.get("problem"):
        peer.close()
        raise ConfigError(str(answer["problem"]))
    return Link({0: peer})


def _listen(port: int, coordinator: str) -> socket.socket:
    """A socket on the port that JAX will listen on afterward."""
    bind = os.environ.get("JAX_COORDINATOR_BIND_ADDRESS", "")
    host = bind.rpartition(":")[0].strip("[]")
    try:
        if host not in ("", "::"):
            return socket.create_server((host, int(bind.rpartition(":")[2])))
        if not socket.has_dualstack_ipv6():
            return socket.create_server(("", port))
        return socket.create_server(
            ("", port), family=socket.AF_INET6, dualstack_ipv6=True
        )
    except (OSError, ValueError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        reason = "is in use" if taken else f"cannot be used ({error})"
        raise ConfigError(
            f"port {port} of the coordinator {coordinator} {reason}; give another"
            " --coordinator to all processes, or JAX_COORDINATOR_PORT"
        ) from error


def _gather(server, count: int, end: float, seconds: float, refusal) -> Link:
    """Waits for all other processes, in process 0, and answers them."""
    peers: dict[int, socket.socket] = {}
    guests: list[socket.socket] = []
    problem = refusal and f"process 0: {refusal}"
    selector = selectors.DefaultSelector()
    selector.register(server, selectors.EVENT_READ)
    while not problem and len(peers) < count - 1:
        ready = selector.select(max(end - time.monotonic(), 0))
        if not ready:
            missing = sorted({*range(1, count)} - {*peers})
            problem = (
                f"{_name(missing)} did not connect within {seconds:g} s; start all"
                f" {count} processes, each with its own --process_id"
            )
        for key, _ in ready:
            if key.fileobj is server:
                guest, _ = server.accept()
                guest.settimeout(10)
                guests.append(guest)
                selector.register(guest, selectors.EVENT_READ)
                continue
            guest: Any = key.fileobj
            selector.unregister(guest)
            known = [number for number, peer in peers.items() if peer is guest]
            if known:
                problem = problem or f"{_name(known)} ended before all had connected"
                continue
            problem = problem or _admit(guest, peers, count)
            if guest in peers.values():
                selector.register(guest, selectors.EVENT_READ)
    selector.close()
    if problem and time.monotonic() < end:
        _wait_for_rest(server, guests, count)
    for guest in guests:
        with contextlib.suppress(OSError):
            _send(guest, {"problem": problem})
            if problem:
                _dismiss(guest)
        if guest not in peers.values():
            guest.close()
    if problem:
        raise ConfigError(refusal or problem)
    return Link(peers)


def _admit(guest: socket.socket, peers: dict, count: int) -> str | None:
    """Admits a process; returns the problem if there is one."""
    try:
        hello = _receive(guest)
        number, theirs = int(hello["process"]), int(hello["count"])
        refusal = hello["refusal"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not a process of the run, or one that ended at once
    if refusal:
        return f"process {number}: {refusal}"
    if theirs != count:
        return (
            f"process {number} was started with {theirs} processes in all, and process"
            f" 0 with {count}; give the same --num_processes to all"
        )
    if number in peers or not 0 < number < count:
        return (
            f"there are two processes with --process_id={number}; give each its own,"
            f" from 0 to {count - 1}"
        )
    peers[number] = guest
    return None


def _dismiss(guest: socket.socket) -> None:
    """Closes a connection after the other side has, which may still read the answer."""
    with guest:
        guest.shutdown(socket.SHUT_WR)
        guest.settimeout(1)
        while guest.recv(LONGEST_LINE):
            pass


def _wait_for_rest(server: socket.socket, guests: list, count: int) -> None:
    """Waits a while for the other processes, so that they learn why it failed."""
    end = time.monotonic() + REST_SECONDS
    while len(guests) < count - 1 and time.monotonic() < end:
        server.settimeout(max(end - time.monotonic(), 0.1))
        with contextlib.suppress(OSError):
            guests.append(server.accept()[0])


def _reach(host: str, port: int, end: float, seconds: float) -> socket.socket:
    """A connection to process 0, which may start later than this process."""
    while True:
        try:
            return socket.create_connection((host, port), timeout=10)
        except OSError as error:
            if time.monotonic() >= end:
                raise ConfigError(
                    f"process 0 did not answer at {host}:{port} within {seconds:g} s"
                    f" ({error.strerror or error}); start it there, and give"
                    " --coordinator=host:port, --num_processes=N and --process_id=I to"
                    " each process"
                ) from error
        time.sleep(RETRY_SECONDS)


def _send(peer: socket.socket, message: dict[str, Any]) -> None:
    text = {key: _short(value) for key, value in message.items()}
    peer.sendall(json.dumps(text).encode() + b"\n")


def _short(value: Any) -> Any:
    return printable(value)[:500] if isinstance(value, str) else value


def _receive(peer: socket.socket) -> dict[str, Any]:
    """A message from the other side.

    Raises:
        OSError: the connection was closed.
        ValueError: the other side is not a process of a run.
    """
    line = b""
    while not line.endswith(b"\n"):
        part = peer.recv(LONGEST_LINE)
        line += part
        if not part:
            raise ConnectionError("the connection was closed")
        if len(line) > LONGEST_LINE:
            raise ValueError("that is not a process of a run")
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("that is not a process of a run")
    return message


def _name(numbers: list[int]) -> str:
    word = "process" if len(numbers) == 1 else "processes"
    return f"{word} {', '.join(map(str, numbers))}"
