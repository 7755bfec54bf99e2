"""Fifty steps in float64 on the devices of this process, or of many: a program.

    steps_on_devices.py OUT WAYS [COORDINATOR N I]

For each of WAYS, such as ``jit-8-1-0-1,pmap-8-1-0-1``, of the form
KIND-DEVICES-ACCUMULATE-SHARD-NORM, it trains a network with augmentation, dropout and,
where NORM is 1, synchronised batch normalization, on a training split that no batch
divides, and writes losses, parameters and scores to the file OUT/WAY-N.npz.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.config.files import load_config
from cnnjax.data import train_batches
from cnnjax.train.machine import processes, shutdown
from cnnjax.train.machine.compile import (
    compile_step,
    make_evaluation,
    make_initial_state,
)
from cnnjax.train.machine.devices import make_devices
from cnnjax.train.machine.stop_request import StopRequest
from cnnjax.train.run.experiment import make_experiment

STEPS = 50
DIGITS = Path(__file__).parents[3] / "configs" / "digits.py"


def make_settings(folder, accumulate, shard, norm):
    """A config of a small network on 203 images, of which 143 train."""
    path = Path(folder) / "set.npz"
    if not path.exists():
        draw = np.random.default_rng(0)
        images = draw.integers(0, 256, (203, 9, 7, 2), np.uint8)
        draft = path.with_suffix(".part.npz")
        np.savez(draft, images=images, labels=np.arange(203) % 5)
        draft.replace(path)
    return {
        "data.source": f"npz:{path}",
        "data.crop_padding": "1",
        "data.flip": "true",
        "model.widths": "(3, 4)",
        "model.dense": "(6,)",
        "model.batch_norm": "true" if norm else "false",
        "sync_batch_norm": "true" if norm else "false",
        "batch_size": "24",
        "eval_batch_size": "10",
        "duration": f"{STEPS} steps",
        "optimizer.clip_norm": "0.5",
        "average_decay": "0.9",
        "accumulate_steps": str(accumulate),
        "shard_optimizer": "true" if shard else "false",
    }


def in_float64(experiment, config):
    """The start of the run, all its floating-point arrays in float64."""

    def widen(x):
        return x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return jax.tree.map(widen, make_initial_state(experiment, config))


def main(out, way, total):
    """Trains, and writes what came out."""
    kind, *numbers = way.split("-")
    count, accumulate, shard, norm = map(int, numbers)
    settings = make_settings(out, accumulate, shard, norm)
    config = load_config(DIGITS, settings)
    devices = make_devices(kind, count, shards_optimizer=bool(shard))
    experiment = make_experiment(config)
    state = devices.put_state(in_float64(experiment, config))
    step = compile_step(config, experiment, devices, state)
    losses = []
    batches = train_batches(
        experiment.dataset.train, 24, config.seed, num_steps=STEPS, part=devices.part
    )
    for batch in batches:
        state, metrics, _ = step(state, batch, StopRequest())
        losses.append(float(metrics.loss))
    score = make_evaluation(config, experiment, devices)
    scores = [score(state, split).score[:3] for split in experiment.dataset[:3]]
    arrays = devices.fetch(state)
    if processes.is_first():
        leaves = jax.tree.leaves(arrays)
        named = {f"leaf{i:03}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        path = Path(out) / f"{way}-{total}.npz"
        np.savez(path, losses=losses, scores=np.array(scores), **named)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    out, ways, *place = sys.argv[1:]
    if place:
        coordinator, total, number = place
        processes.join(processes.Launch(coordinator, int(total), int(number)))
    with shutdown.leave_together():
        for way in ways.split(","):
            main(out, way, place[1] if place else 1)
