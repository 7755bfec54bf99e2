"""The steps of a run compiled for many devices: what they send, and where they write.

A compiler of another platform must be told before JAX starts, so these steps are
compiled by a process of their own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from cnnjax.config.files import check_config
from cnnjax.data import Dataset, Split
from cnnjax.errors import ConfigError
from cnnjax.plan.costs import count_operations, memory_use, step_costs
from cnnjax.plan.steps import (
    compile_evaluation,
    compile_training,
    describe_data,
    make_run,
)
from cnnjax.plan.targets import is_installed, parse_target
from cnnjax.train.run.experiment import Parts

SMALL = {"model.name": "resnet20", "model.widths": (8, 8, 8), "batch_size": 16}
METRICS = 8192
"""Bytes of a step's results beside the state, each in a block of its own on a TPU."""
TARGETS = ["cpu:8"]
TARGETS += ["v5e:2x2", "v6e:4x4"] if is_installed("tpu") else []
TARGETS += ["h100:8"] if is_installed("cuda") else []


def small_run(target="cpu", shape=(9, 7, 3), **changes):
    config = check_config({**SMALL, **changes})
    return make_run(config, parse_target(target), describe_data(config, shape, 5))


def plan(target, folder, *words):
    """The values of ``cnnjax plan``, in a process of its own."""
    file = folder / "plan.json"
    config = folder / "small.py"
    lines = [f"    config.{name} = {value!r}" for name, value in SMALL.items()]
    text = "from cnnjax.config import default_config\n\n\ndef get_config():\n"
    text += (
        "    config = default_config()\n" + "\n".join(lines) + "\n    return config\n"
    )
    config.write_text(text)
    words = [f"--config={config}", f"--for={target}", f"--json={file}", *words]
    words += ["--image-size=9x7x3", "--classes=5"]
    environment = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-m", "cnnjax", "plan", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(Path(file).read_text()), done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_a_step_sends_its_gradients_once_and_reuses_donated_memory(target, tmp_path):
    values, stdout = plan(target, tmp_path)
    training = values["training"]
    (sums,) = training["collectives"]
    assert (sums["kind"], sums["count"]) == ("all-reduce", 1)
    assert sums["bytes"] >= 4 * values["parameters"]  # and the statistics
    assert training["fresh_results"] <= METRICS
    assert training["memory"]["reused"] >= 4 * values["parameters"]
    assert max(map(len, stdout.splitlines())) <= 80


@pytest.mark.slow
def test_a_sharded_optimizer_gathers_parameters_alone(tmp_path):
    words = ("--config.shard_optimizer=true", "--config.optimizer.name=adamw")
    values, _ = plan("cpu:8", tmp_path, *words)
    kinds = {each["kind"]: each for each in values["training"]["collectives"]}
    # All gradients in one, and in another the partial sums of the gradient's norm.
    assert kinds["all-reduce"]["count"] == 2
    assert kinds["all-reduce"]["bytes"] < 1.1 * 4 * values["parameters"]
    # No activation: all that is gathered is at most the parameters.
    assert kinds["all-gather"]["bytes"] <= 4 * values["parameters"]
    assert values["training"]["fresh_results"] <= METRICS


@pytest.mark.slow
def test_the_costs_are_those_of_the_compiler():
    run = small_run()
    step = compile_training(run)
    found = step.compiled.memory_analysis()
    memory = memory_use(run, step.compiled)
    assert memory["arguments"] == found.argument_size_in_bytes
    assert memory["temporaries"] == found.temp_size_in_bytes
    assert memory["peak"] == (
        found.argument_size_in_bytes
        + found.output_size_in_bytes
        - found.alias_size_in_bytes
        + found.temp_size_in_bytes
    )
    costs = step_costs(run, step, training=True)
    assert costs["batch_size"] == 16
    assert costs["roofline"] is None
    evaluation = compile_evaluation(run)
    assert evaluation.batch_size == 500
    forward = step_costs(run, evaluation, training=False)["flop"] / 500
    assert 2.5 * forward < costs["flop"] / 16 < 3 * forward


@pytest.mark.slow
def test_steps_per_call_and_images_on_the_device_are_among_the_arguments():
    images = np.zeros((160, 9, 7, 3), np.uint8)
    split = Split(images, np.arange(160, dtype=np.int32) % 5)
    parts = Parts(Dataset(split, split, split, 5))
    found = []
    for changes in (
        {},
        {"steps_per_call": 4},
        {"data.on_device": "always"},
        {"data.on_device": "always", "steps_per_call": 4},
    ):
        lengths = {"log_every": "10 steps", "eval_every": "10 steps"}
        config = check_config({**SMALL, **lengths, **changes})
        run = make_run(config, parse_target("cpu"), parts)
        step = compile_training(run)
        found.append(memory_use(run, step.compiled)["arguments"])
        assert run.longest == changes.get("steps_per_call", 1)
    one, four, kept, both = found
    batch = 16 * (9 * 7 * 3 + 4 + 4)
    blocks = 64  # arguments take whole blocks
    assert abs(four - one - 3 * batch) <= blocks
    assert abs(kept - one - images.nbytes + 16 * (9 * 7 * 3 - 4)) <= blocks
    assert abs(both - kept - 3 * 16 * (4 + 4 + 4)) <= blocks


def test_the_optimizer_stays_on_the_device_during_evaluation():
    run = small_run(**{"optimizer.name": "adamw"})
    step = compile_evaluation(run)
    memory = step_costs(run, step, training=False)["memory"]
    moments = jax.tree.leaves(run.state.opt_state)
    assert memory["unread"] >= sum(4 * x.size for x in moments)
    rest = ("arguments", "results", "temporaries", "unread")
    assert memory["peak"] == sum(memory[name] for name in rest) - memory["reused"]


def test_operations_leave_out_the_gradients_of_what_is_frozen():
    size = 16
    whole = count_operations(small_run(), size, training=True)
    forward = count_operations(small_run(), size, training=False)
    dense = 2 * 8 * 5 * size
    head = small_run(freeze="(?!Dense).*")
    assert count_operations(head, size, training=True) == forward + dense
    all_but_one = small_run(freeze="Conv_0/.*")
    count = count_operations(all_but_one, size, training=True)
    assert forward + dense < count < whole


@pytest.mark.parametrize(
    "changes, part",
    [
        ({"data.on_device": "always"}, "the number of images is not known"),
        ({"steps_per_call": 5, "backend": "xla"}, "steps_per_call is 5, expected 1"),
    ],
)
def test_what_a_run_refuses_is_refused(changes, part):
    with pytest.raises(ConfigError, match=part):
        compile_training(small_run(**changes))


def test_state_and_images_are_only_described():
    run = small_run(shape=(4000, 4000, 3))
    assert all(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(run.state))


@pytest.mark.parametrize(
    "changes, part",
    [
        ({"accumulate_steps": 3}, "batch_size is 16, expected a multiple of 3"),
        ({"parallel": "pmap"}, "parallel is 'pmap', expected 'jit'"),
        ({"devices": 2}, "names the devices; leave it out"),
    ],
)
def test_what_does_not_fit_the_devices_is_refused(changes, part):
    with pytest.raises(ConfigError) as error:
        small_run(**changes)
    assert part in str(error.value)


@pytest.mark.parametrize(
    "changes, form",
    [
        ({"loss.name": "mse"}, (5,)),
        ({"model.name": "unet"}, (9, 7)),
        ({}, ()),
    ],
)
def test_the_labels_are_those_of_the_loss(changes, form):
    changes = (
        {"model.widths": (4, 4), **changes} if "model.name" in changes else changes
    )
    config = check_config({**SMALL, **changes})
    dataset = describe_data(config, (9, 7, 3), 5).dataset
    assert dataset is not None
    assert dataset.train.labels.shape[1:] == form
