"""A process that takes one training step and tells which kernels it called.

It prints the claims of ``find_layers`` and the compiled step's custom calls as JSON;
with ``ONEDNN_VERBOSE=1``, oneDNN prints what it executes.
"""

import json
import re
import sys
from collections import Counter

import jax

from cnnjax.benchmark.layers import find_layers
from cnnjax.benchmark.steps import make_problem
from cnnjax.config.files import load_config
from cnnjax.data import train_batches
from cnnjax.train.machine.compile import lower_step


def main(path: str, changes: dict[str, str]) -> None:
    problem = make_problem(load_config(path, changes))
    layers, _ = find_layers(problem)
    claims = [
        (name, layer.title, choice.implementation, choice.reason)
        for layer in layers
        for name, choice in layer.choices.items()
        if choice
    ]
    compiled = lower_step(*problem).compile()
    split, config = problem.experiment.dataset.train, problem.config
    batch = next(train_batches(split, config.batch_size, config.seed))
    jax.block_until_ready(compiled(problem.state, problem.devices.put_batch(batch)))
    text = compiled.as_text()
    calls = Counter(re.findall(r'custom_call_target="(cnnjax_\w+)"', text))
    products = {name: text.count(f" {name}(") for name in ("convolution", "dot")}
    found = {"claims": claims, "calls": calls, "products": products}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
