"""One step function on one device, on many, and in many processes: the same numbers."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cnnjax.errors import ConfigError
from cnnjax.train.machine.devices import devices_of, make_devices
from cnnjax.train.step.loss import Sums

PROGRAM = Path(__file__).parents[2] / "support/train/steps_on_devices.py"


def start(devices, *words):
    here = {
        "JAX_NUM_CPU_DEVICES": str(devices),
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # fifty steps are soon done
    }
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *map(str, words)],
        env=os.environ | here,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*started):
    try:
        ends = [process.communicate(timeout=300) for process in started]
    finally:
        for process in started:
            process.kill()
    for process, (_, err) in zip(started, ends, strict=True):
        assert process.returncode == 0, err


def free_port():
    with socket.socket() as connection:
        connection.bind(("localhost", 0))
        return connection.getsockname()[1]


def name_way(kind="jit", devices=1, *, accumulate=1, shard=0, norm=1):
    return f"{kind}-{devices}-{accumulate}-{shard}-{norm}"


def train(folder, processes=1, **how):
    """The arrays that the program writes.

    The first call for one process runs all ways of ``IN_ONE_PROCESS`` after each other,
    where a start takes as long as one of them; the way on one device has its own.
    """
    way = name_way(**how)
    out = folder / f"{way}-{processes}.npz"
    if not out.exists():
        ways, devices = way, how.get("devices", 1)
        if processes == 1 and how in IN_ONE_PROCESS:
            ways, devices = ",".join(name_way(**each) for each in IN_ONE_PROCESS), 8
        places = [[]]
        if processes > 1:
            port = f"localhost:{free_port()}"
            places = [[port, processes, i] for i in range(processes)]
        finish(*[start(devices, folder, ways, *place) for place in places])
    return dict(np.load(out))


EQUAL = [
    {"devices": 8},
    {"kind": "pmap", "devices": 4},
    {"devices": 4, "shard": 1},
]
ACCUMULATED = [{"accumulate": 4}, {"accumulate": 3, "devices": 4}]
IN_ONE_PROCESS = [*EQUAL, {"norm": 0}, *({"norm": 0, **how} for how in ACCUMULATED)]


def among_processes(**how):
    """A way that wants the machine for itself: its processes wait for each other."""
    return pytest.param(how, marks=pytest.mark.alone)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("devices")


def assert_same(one, other):
    """Equal but for the order of sums in float64."""
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_allclose(other[name], array, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [
        *EQUAL,
        among_processes(devices=2, processes=2),
        among_processes(devices=2, processes=3),
        among_processes(kind="pmap", devices=2, processes=2),
        among_processes(devices=2, processes=2, shard=1),
    ],
    ids=str,
)
def test_fifty_steps_are_the_same_everywhere(folder, how):
    one, other = train(folder), train(folder, **how)
    assert_same(one, other)
    assert one["scores"][:, 2].tolist() == [143, 20, 40]


@pytest.mark.slow
@pytest.mark.parametrize("how", ACCUMULATED, ids=str)
def test_accumulated_gradients_are_those_of_the_large_batch(folder, how):
    """Without batch normalization, whose moments are those of a part."""
    assert_same(train(folder, norm=0), train(folder, norm=0, **how))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": "64", "accumulate_steps": "7"}, "try 63 or 70"),
        ({"batch_size": "5", "accumulate_steps": "7"}, "try 7"),
        ({"devices": "77"}, "device_count=77 makes as many"),
        (
            {"shard_optimizer": "true", "parallel": "pmap"},
            "parallel is 'pmap', expected 'jit'",
        ),
    ],
)
def test_what_cannot_be_divided_is_refused(small_config, changes, message):
    with pytest.raises(ConfigError) as caught:
        devices_of(small_config(**changes))
    assert message in str(caught.value)


def test_one_device_is_a_mesh_of_one():
    devices = make_devices(per_process=1)
    assert (devices.count, devices.local_count, devices.part.count) == (1, 1, 1)


@pytest.fixture(scope="module")
def all_reduces():
    """Those of the step on eight devices, by kind and precision."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM.with_name("hlo_on_devices.py"))],
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "8"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["jit", "pmap"])
@pytest.mark.parametrize(("precision", "dtypes"), [("full", 1), ("half", 2)])
def test_one_all_reduce_carries_all_gradients_of_a_dtype(
    all_reduces, kind, precision, dtypes
):
    sums = all_reduces[f"{kind} {precision}"]
    # XLA may join those of two dtypes in one message.
    assert 1 <= len(sums) <= dtypes, sums
    assert len(re.findall(r"f32\[|bf16\[", " ".join(sums))) == dtypes
    sizes = [int(size) for line in sums for size in re.findall(r"\[(\d+)\]", line)]
    # 141,450 parameters, and the sums of losses, right answers and examples.
    assert sum(sizes) == 141_450 + len(Sums._fields)
