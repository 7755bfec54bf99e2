#!/usr/bin/env python3
"""Compares the memory that hand-written gradients and autodiff move on accelerators.

python scripts/compare_traffic.py [--for=v5e|h100] [--ops=REGEX] [--models=REGEX]
    [--all] [--quick]

Each operation, forward and gradient alone, and the training step of each network are
compiled by the accelerator's own compiler: with hand-written gradients, and with JAX's
gradients of the stock operations. No device is needed, but a compiler is:
``jax[tpu]`` brings that of TPUs, ``jax[cuda12]`` that of GPUs. One row for each program
that exceeds a limit (or with ``--all`` for each): bytes read and written, and memory
for what is neither argument nor result. The status is 1 if a program moves more than
1.02 of what autodiff moves, or needs more than 1.05 of its temporary memory plus 1 MB.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from cnnjax.plan import targets

MOST_BYTES, MOST_TEMPORARY, FREE_TEMPORARY = 1.02, 1.05, 1e6
CHIPS = {"v5e": "v5e:1x1", "h100": "h100"}


class Moved(NamedTuple):
    """What a compiled program moves.

    Attributes:
        bytes: read from memory and written to it.
        temporary: bytes of memory beside arguments and results.
    """

    bytes: float
    temporary: float


def main() -> int:
    """Prints the table; the status is 1 if a program exceeds a limit."""
    parser = argparse.ArgumentParser(description="Compares memory traffic.")
    parser.add_argument("--for", dest="chip", choices=CHIPS, default="v5e")
    parser.add_argument("--ops", default="", metavar="REGEX")
    parser.add_argument("--models", default="", metavar="REGEX")
    parser.add_argument("--batch", type=int, default=16, help="of a training step")
    parser.add_argument("--size", type=int, default=64, help="most pixels a side")
    parser.add_argument("--all", action="store_true", help="print every row")
    parser.add_argument(
        "--quick", action="store_true", help="let a TPU's compiler search less"
    )
    args = parser.parse_args()
    target = targets.parse_target(CHIPS[args.chip])
    targets.prepare(target, os.environ)
    programs = [*operations(args.ops), *steps(args.models, args.batch, args.size)]
    print(f"| {args.chip} | MB moved | autodiff | ratio | MB temporary | autodiff |")
    print("|---|---|---|---|---|---|", flush=True)
    measure = Compiler(target, quick=args.quick)
    exceeded = 0
    for label, function, arrays in programs:
        ours, stock = (measure(mode, function, arrays) for mode in MODES)
        bad = exceeds(ours, stock)
        exceeded += bad
        if bad or args.all:
            print(row(f"**{label}**" if bad else label, ours, stock), flush=True)
    print(f"\n{exceeded} of {len(programs)} programs exceed a limit")
    return int(exceeded > 0)


MODES = ("custom", "autodiff")


def exceeds(ours: Moved, stock: Moved) -> bool:
    """Whether hand-written gradients move more memory than they may."""
    most = MOST_TEMPORARY * stock.temporary + FREE_TEMPORARY
    return ours.bytes > MOST_BYTES * stock.bytes or ours.temporary > most


def row(label: str, ours: Moved, stock: Moved) -> str:
    """One row of the table."""
    numbers = [ours.bytes, stock.bytes, ours.temporary, stock.temporary]
    moved, other, *temporary = (f"{number / 1e6:.1f}" for number in numbers)
    cells = [label, moved, other, f"{ours.bytes / stock.bytes:.2f}", *temporary]
    return f"| {' | '.join(cells)} |"


class Compiler:
    """Compiles programs for a target, each different one once.

    Args:
        target: whose environment is prepared.
        quick: whether a TPU's compiler searches less for fast kernels.
    """

    def __init__(self, target: targets.Target, quick: bool = False):
        import jax

        from cnnjax.plan.steps import QUICK

        self._options = QUICK if quick and target.chip.platform == "tpu" else None
        self._platform = target.chip.platform
        device = targets.find_devices(target)[0]
        self._place = jax.sharding.SingleDeviceSharding(device)
        self._known: dict[str, Moved] = {}

    def __call__(self, mode: Any, function: Callable, arrays: Any) -> Moved:
        """What ``function`` of ``arrays`` moves, with the gradients of ``mode``."""
        import jax

        from cnnjax import ops
        from cnnjax.plan.traffic import measure_traffic

        arrays = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self._place),
            arrays,
        )
        with ops.gradients(mode):
            # A function of its own: JAX would reuse what it traced in the other mode.
            traced = jax.jit(lambda *args: function(*args)).trace(*arrays)
        lowered = traced.lower(lowering_platforms=(self._platform,))
        text = re.sub(r"@[\w.]+", "@f", lowered.as_text())
        if text not in self._known:
            compiled = lowered.compile(self._options)
            moved, _, temporary, _ = measure_traffic(compiled)
            if self._platform == "tpu":  # its compiler counts parts that are read
                moved = (compiled.cost_analysis() or {})["bytes accessed"]
            self._known[text] = Moved(moved, temporary)
        return self._known[text]


def operations(pattern: str) -> Iterator[tuple[str, Callable, Any]]:
    """Forward map and gradient of each operation whose name ``pattern`` finds."""
    import jax
    from traffic_cases import cases

    for label, (function, arrays, constants) in cases().items():
        if not re.search(pattern, label):
            continue
        count = len(arrays)

        def gradient(dy, *args, function=function, count=count):
            return jax.vjp(lambda *a: function(*a, *args[count:]), *args[:count])[1](dy)

        every = (*arrays, *constants)
        yield f"{label}, forward", function, every
        dy = jax.eval_shape(function, *every)
        yield f"{label}, gradient", gradient, (dy, *every)


def steps(pattern: str, batch: int, size: int) -> Iterator[tuple[str, Callable, Any]]:
    """The training step of each network whose name ``pattern`` finds, in bfloat16.

    Args:
        pattern: a regular expression.
        batch: images.
        size: images have at most this many pixels on each side.
    """
    import jax
    import jax.numpy as jnp

    from cnnjax import models, ops
    from cnnjax.benchmark.network_size import published_size
    from cnnjax.models.catalog import CATALOG

    chosen = [name for name in CATALOG if re.search(pattern, name)]
    for name in sorted(chosen, key=lambda n: published_size(n).multiply_adds):
        entry = CATALOG[name]
        model = models.make_model(name, num_classes=entry.num_classes, dtype="bfloat16")
        *sides, channels = entry.shape
        shape = (batch, *(min(side, size) for side in sides), channels)
        images = jax.ShapeDtypeStruct(shape, jnp.bfloat16)
        key = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0)))

        def initial(images, key, model=model):
            return model.init(jax.random.wrap_key_data(key), images, train=False)

        variables = jax.eval_shape(initial, images, key)

        def step(variables, images, labels, key, model=model):
            fixed = {k: v for k, v in variables.items() if k != "params"}

            def loss(params):
                logits, updates = model.apply(
                    {"params": params, **fixed},
                    images,
                    train=True,
                    mutable=list(fixed),
                    rngs={"dropout": jax.random.wrap_key_data(key)},
                )
                return ops.softmax_cross_entropy(logits, labels).mean(), updates

            (value, updates), gradient = jax.value_and_grad(loss, has_aux=True)(
                variables["params"]
            )
            params = jax.tree.map(
                lambda p, g: p - 0.1 * g, variables["params"], gradient
            )
            return {"params": params, **updates}, value

        labels = jax.eval_shape(
            lambda v, x, model=model: jnp.argmax(
                jnp.asarray(model.apply(v, x, train=False)), -1
            ),
            variables,
            images,
        )
        yield f"{name}, training step", step, (variables, images, labels, key)


if __name__ == "__main__":
    sys.exit(main())
