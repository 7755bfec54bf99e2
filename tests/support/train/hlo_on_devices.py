"""Prints the all-reduces of the compiled step on the devices there are: a program."""

import sys
from pathlib import Path

import jax

from cnnjax.config.files import load_config
from cnnjax.train.machine.compile import lower_step, make_initial_state
from cnnjax.train.machine.devices import make_devices
from cnnjax.train.run.experiment import make_experiment

DIGITS = Path(__file__).parents[3] / "configs" / "digits.py"


def main(kind: str, half: bool) -> None:
    """Compiles the step of the digits; ``half`` has its dense layers in bfloat16."""
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
    for line in text.splitlines():
        if " all-reduce(" in line or " all-reduce-start(" in line:
            print(line.partition("=")[2].partition(" all-reduce")[0].strip())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "half")
