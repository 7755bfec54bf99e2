"""One step function on one device, on many, and in many processes: the same numbers."""

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
        ends = [process.communicate(timeout=120) for process in started]
    finally:
        for process in started:
            process.kill()
    for process, (_, err) in zip(started, ends, strict=True):
        assert process.returncode == 0, err


def free_port():
    with socket.socket() as connection:
        connection.bind(("localhost", 0))
        return connection.getsockname()[1]


def train(folder, kind="jit", devices=1, *, accumulate=1, shard=0, norm=1, processes=1):
    """The arrays that the program writes."""
    out = folder / f"{kind}{devices}{accumulate}{shard}{norm}{processes}.npz"
    if not out.exists():
        words = [out, kind, devices, accumulate, shard, norm]
        if processes == 1:
            finish(start(devices, *words))
        else:
            place = f"localhost:{free_port()}"
            many = [
                start(devices, *words, place, processes, i) for i in range(processes)
            ]
            finish(*many)
    return dict(np.load(out))


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
        {"devices": 4},
        {"devices": 8},
        {"kind": "pmap", "devices": 4},
        {"kind": "pmap", "devices": 8},
        {"devices": 4, "shard": 1},
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
@pytest.mark.parametrize("how", [{"accumulate": 4}, {"accumulate": 3, "devices": 4}])
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


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["jit", "pmap"])
@pytest.mark.parametrize(("precision", "dtypes"), [("full", 1), ("half", 2)])
def test_one_all_reduce_carries_all_gradients_of_a_dtype(kind, precision, dtypes):
    program = PROGRAM.with_name("hlo_on_devices.py")
    done = subprocess.run(
        [sys.executable, str(program), kind, precision],
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "8"},
        capture_output=True,
        text=True,
        check=True,
    )
    sums = done.stdout.splitlines()
    # XLA may join those of two dtypes in one message.
    assert 1 <= len(sums) <= dtypes, sums
    assert len(re.findall(r"f32\[|bf16\[", done.stdout)) == dtypes
    sizes = [int(size) for line in sums for size in re.findall(r"\[(\d+)\]", line)]
    # 141,450 parameters, and the sums of losses, right answers and examples.
    assert sum(sizes) == 141_450 + len(Sums._fields)
