"""TensorBoard itself reads what cnnjax writes."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from tests.report.test_tensorboard import EVIL, train, write


@contextlib.contextmanager
def tensorboard(logdir):
    """The address of a TensorBoard that shows a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={logdir}"]
    log = logdir / "server.log"
    with log.open("w") as file:
        server = subprocess.Popen(
            [*command, f"--port={port}", "--host=127.0.0.1"],
            stdout=file,
            stderr=file,
            env=os.environ | {"PYTHONWARNINGS": "ignore"},
        )
    try:
        yield f"http://127.0.0.1:{port}/data"
    except Exception as error:
        raise AssertionError(log.read_text()) from error
    finally:
        server.terminate()
        server.wait(20)


def ask(address, **values):
    with urlopen(f"{address}?{urlencode(values)}", timeout=10) as answer:
        return json.load(answer)


def wait_for(found, seconds=90):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(URLError, ConnectionError, TimeoutError):
            if answer := found():
                return answer
        time.sleep(0.3)
    raise AssertionError(f"nothing within {seconds} s")


@pytest.mark.slow
@pytest.mark.alone
def test_two_runs_stand_side_by_side_and_each_step_stands_once(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    write(tmp_path / "a", *map(train, (1, 2, 3)))  # and killed
    (log,) = (tmp_path / "a" / "tensorboard").glob("*.log")
    with log.open("ab") as file:
        file.write(b"\x50\0\0\0")  # in the middle of a record
    score = {"kind": "test", "step": 4, "loss": 0.25}
    board = write(tmp_path / "a", *map(train, (3, 4)), score, step=2)
    board.end({"step": 4, "reason": "finished"})
    board.close()
    write(tmp_path / "b", train(1), settings={"seed": EVIL}).close()
    runs = {"a/tensorboard", "b/tensorboard"}
    with tensorboard(tmp_path) as address:
        tags = wait_for(
            lambda: (
                (found := ask(f"{address}/plugin/scalars/tags")).keys() == runs
                and "test/loss" in found["a/tensorboard"]
                and found
            )
        )
        assert {"train/loss", "epoch"} <= tags["b/tensorboard"].keys()
        curve = ask(
            f"{address}/plugin/scalars/scalars", run="a/tensorboard", tag="train/loss"
        )
        assert [step for _, step, _ in curve] == [1, 2, 3, 4]
        assert [value for *_, value in curve] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])
        texts = ask(
            f"{address}/plugin/text/text",
            run="b/tensorboard",
            tag="config/text_summary",
        )
        assert "<code>" in texts[0]["text"]
        assert "<script" not in texts[0]["text"]
        assert "alert(1)" in texts[0]["text"]
