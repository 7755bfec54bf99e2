"""Prints the all-reduces of the compiled step on the devices there are: a program."""

import json
from pathlib import Path

import jax

from cnnjax.config.files import load_config
from cnnjax.train.machine.compile import lower_step, make_initial_state
from cnnjax.train.machine.devices import make_devices
from cnnjax.train.run.experiment import make_experiment

DIGITS = Path(__file__).parents[3] / "configs" / "digits.py"


def all_reduces(kind: str, half: bool) -> list[str]:
    """Of the step of the digits; ``half`` has its first dense layer in bfloat16."""
    config = load_config(DIGITS, {})
    devices = make_devices(kind)
    experiment = make_experiment(config)
    state = make_initial_state(experiment, config)
    if half:
        narrow = jax.tree.map(lambda x: x.astype("bfloat16"), state.params["Dense_0"])
        params = state.params | {"Dense_0": narrow}
        opt_state = experiment.optimizer.init(params)
        state = state._replace(params=params, opt_state=opt_state)
    state = devices.put_state(state)
    text = lower_step(config, experiment, devices, state).compile().as_text()
    return [
        line.partition("=")[2].partition(" all-reduce")[0].strip()
        for line in text.splitlines()
        if " all-reduce(" in line or " all-reduce-start(" in line
    ]


if __name__ == "__main__":
    found = {
        f"{kind} {precision}": all_reduces(kind, precision == "half")
        for kind in ("jit", "pmap")
        for precision in ("full", "half")
    }
    print(json.dumps(found))
