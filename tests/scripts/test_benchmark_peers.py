"""scripts/benchmark_peers.py: rounds, ratios, failures, and the networks themselves.

Other frameworks are not installed for the tests: programs of a few lines stand in.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
FAKE = """
import sys, time
from peers.protocol import Ready, serve

def make(task):
    print("frameworks talk")
    name = task.options["name"]
    if name == "broken":
        raise RuntimeError("no such kernel")
    calls = []
    def step():
        calls.append(name)
        if name == "dies" and len(calls) > 5:
            sys.exit("out of memory")
        time.sleep(0.02 if name == "slow" else 0.01)
    return Ready(step, 7 if name == "larger" else 5, {"torch": "9"})

serve(make)
"""
DRIVER = """
import sys
from peers import command, roster
roster.PEERS.clear()
for name in {names!r}:
    roster.PEERS[name] = roster.Peer("fake_worker", None, {{"name": name}})
sys.exit(command.main(sys.argv[1:]))
"""


def run(folder, names, *words):
    """The script with workers that only sleep."""
    (folder / "fake_worker.py").write_text(FAKE)
    path = f"{SCRIPTS}:{folder}"
    code = DRIVER.format(names=names)
    options = ["--networks=cnn", f"--out={folder / 'out'}", f"--frameworks={names}"]
    options[-1] = f"--frameworks={','.join(names)}"
    done = subprocess.run(
        [sys.executable, "-c", code, *options, "--rounds=3", "--steps=2", *words],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": path, "PATH": "/usr/bin:/bin"},
        timeout=120,
    )
    report = folder / "out" / "peers.json"
    values = json.loads(report.read_text()) if report.exists() else None
    return done, values and values["networks"]["cnn"]


@pytest.mark.slow
def test_medians_and_ratios_by_round(tmp_path):
    done, found = run(tmp_path, ["cnnjax", "slow"])
    assert (done.returncode, done.stderr) == (0, "")
    slow = found["workers"]["slow"]
    assert [len(turn) for turn in slow["rounds"]] == [2, 2, 2]
    assert slow["ratio"]["min"] <= slow["ratio"]["median"] <= slow["ratio"]["max"]
    assert slow["ratio"]["median"] > 1.3
    assert found["workers"]["cnnjax"]["ratio"]["max"] == 1
    assert "| slow (torch 9) |" in done.stdout
    assert len(slow["others"]) == 3
    assert "Other processes used " in done.stdout
    assert (tmp_path / "out" / "peers.md").read_text() == done.stdout
    assert "frameworks talk" in (tmp_path / "out" / "cnn-slow.log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "message"), [("broken", "no such kernel"), ("dies", "out of memory")]
)
def test_a_worker_that_fails_is_named_and_the_rest_goes_on(tmp_path, name, message):
    done, found = run(tmp_path, ["cnnjax", name, "slow"])
    assert done.returncode == 1
    assert f"benchmark_peers: {name}: ended with status 1: " in done.stderr
    assert message in done.stderr
    assert set(found["workers"]) == {"cnnjax", "slow"}
    assert message in found["failures"][name]
    assert f"{name} failed: " in done.stdout


def test_networks_of_different_sizes_are_not_compared(tmp_path):
    done, found = run(tmp_path, ["cnnjax", "larger"])
    assert done.returncode == 1
    assert "cnnjax 5, larger 7" in done.stderr
    assert found["workers"] == {}


@pytest.mark.slow
def test_a_framework_that_cannot_be_installed_is_named(tmp_path):
    """Pip finds no index where none may be asked."""
    code = """
import os, sys
from pathlib import Path
from peers import environments, roster
roster.PACKAGES["keras-jax"] = ["no-such-package-of-anyone"]
os.environ |= {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
try:
    environments.interpreter(roster.PEERS["keras-jax"], Path(sys.argv[1]))
except environments.InstallationError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(SCRIPTS), "PATH": "/usr/bin:/bin"},
        timeout=300,
    )
    assert "no-such-package-of-anyone" in done.stdout, done.stderr
    assert (tmp_path / "keras-jax" / "unfinished").exists()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--networks=resnet21", "'resnet21' is none of cnn, resnet20"),
        ("--rounds=0", "0 is not 1 or more"),
        ("--threads=4096", "--threads is 4096, but there are"),
    ],
)
def test_refuses_with_values(tmp_path, word, message):
    done, _ = run(tmp_path, ["cnnjax"], word)
    assert done.returncode == 2
    assert message in done.stderr


def test_the_share_of_others_is_what_the_worker_did_not_take():
    code = """
import os
from peers.others import Clock, read_clock, share_of_others
cores = os.cpu_count()
before, after = Clock(10, 100, 5), Clock(12, 100 + cores, 5 + cores / 2)
print(share_of_others(before, after), share_of_others(None, after))
first, second = read_clock(os.getpid()), read_clock(os.getpid())
print(0 <= first.process <= second.process <= second.all_cores)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(SCRIPTS), "PATH": "/usr/bin:/bin"},
        timeout=60,
    )
    assert done.stdout.split() == ["0.25", "None", "True"], done.stderr


@pytest.mark.slow
def test_stock_flax_has_none_of_our_layers_and_as_many_parameters():
    code = """
import jax, jax.numpy as jnp
from flax import linen
from peers.flax_worker import stock_models
from peers.jax_step import OPTIONS
from peers.networks import NETWORKS
models = stock_models()
for name, network in NETWORKS.items():
    options = {"name": name, **OPTIONS.get(name, {})}
    model = models.make_model(num_classes=10, **options)
    assert models.cnn.nn.Conv.__call__ is linen.Conv.__call__
    assert models.cnn.nn.Dense is linen.Dense
    x = jnp.zeros((1, *network.image))
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), x, train=False))
    print(name, sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{SCRIPTS}:{SCRIPTS.parent}", "PATH": "/usr/bin:/bin"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    counts = dict(line.split() for line in done.stdout.splitlines())
    assert counts == {
        "cnn": "824458",
        "resnet20": "272474",
        "vgg11": "9225610",
        "resnet18": "11181642",
        "mobilenet_v2": "2236682",
    }
