"""What a compiled step needs and takes: memory, arithmetic, traffic, time at best."""

import math
from collections.abc import Mapping
from typing import Any

import jax

from cnnjax.benchmark.flops import count_forward, count_products, count_training
from cnnjax.plan.float32 import activation_sizes, float32_copies
from cnnjax.plan.program import Program, read_program
from cnnjax.plan.steps import Run, Step, usable_memory
from cnnjax.plan.traffic import Collective, measure_traffic
from cnnjax.train.machine.compile import step_on_devices
from cnnjax.train.machine.devices import batch_shapes
from cnnjax.train.run.freezing import frozen_in
from cnnjax.train.step.freezing import merge, split

# How often a ring sends a device's whole array, but for one part of it.
_ROUNDS = {"all-reduce": 2}


def step_costs(run: Run, step: Step, *, training: bool) -> dict[str, Any]:
    """The costs of a step, as values for JSON.

    Args:
        run: whose step it is.
        step: compiled.
        training: whether it is the training step.
    """
    program = read_program(step.compiled.as_text())
    traffic = measure_traffic(step.compiled, program)
    operations = count_operations(run, step.batch_size, training=training)
    memory = memory_use(run, step.compiled)
    if not training:
        memory = add_unread_state(run, step, memory)
    values = {
        "batch_size": step.batch_size,
        "compile_seconds": step.seconds,
        "memory": memory,
        "flop": operations,
        "bytes_moved": traffic.bytes_moved,
        "kernels": traffic.kernels,
        "intensity_flop_per_byte": operations / max(traffic.bytes_moved, 1),
        "collectives": [each._asdict() for each in traffic.collectives],
        "roofline": roofline(run, operations, traffic.bytes_moved, traffic.collectives),
    }
    if not training:
        return values
    values["aliases"] = program.aliases
    values["fresh_results"] = memory["results"] - memory["reused"]
    if run.config.precision == "bfloat16":
        values["float32_copies"] = find_copies(run, program)
    return values


def count_operations(run: Run, batch_size: int, *, training: bool) -> int:
    """The floating-point operations of a step on one device.

    Rematerialization computes the network once more. Of what is frozen at first, no
    gradient is computed, nor one of the activations before it.
    """
    model = run.experiment.model
    shape = run.experiment.dataset.train.images.shape[1:]
    image = jax.ShapeDtypeStruct((1, *shape), "float32")
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), run.state.variables
    )
    forward = count_forward(model, shapes, image)
    each = sum(forward)
    if training and run.config.freeze:
        each = _count_with_frozen(run, shapes, image)
    elif training:
        again = each if getattr(model, "remat", False) else 0
        each = count_training(forward) + again
    return each * batch_size // run.devices.count


def _count_with_frozen(run: Run, shapes: Any, image: Any) -> int:
    frozen, model = frozen_in(run.config, 0), run.experiment.model

    def gradient(variables, image):
        trained, kept = split(frozen, variables["params"])

        def total(trained):
            params = merge(trained, kept)
            return model.apply({**variables, "params": params}, image, train=False)

        outputs, rule = jax.vjp(total, trained)
        return rule(outputs)

    return sum(count_products(gradient, shapes, image, zeros=False))


def memory_use(run: Run, compiled: Any) -> dict[str, Any]:
    """Bytes on one device, from the compiler's own analysis.

    ``peak`` is the sum of arguments, results and temporaries, where results that take
    the memory of donated arguments count once. The compiler of a TPU counts less at
    once, as ``compiler_peak`` says, and refuses programs that do not fit.
    """
    found = compiled.memory_analysis()
    arguments, results = found.argument_size_in_bytes, found.output_size_in_bytes
    reused, temporaries = found.alias_size_in_bytes, found.temp_size_in_bytes
    memory = {
        "arguments": arguments,
        "results": results,
        "reused": reused,
        "temporaries": temporaries,
        "peak": arguments + results - reused + temporaries,
        "limit": usable_memory(run.target),
    }
    if run.target.chip.platform == "tpu":
        memory["compiler_peak"] = found.peak_memory_in_bytes
    return memory


def add_unread_state(run: Run, step: Step, memory: dict[str, Any]) -> dict[str, Any]:
    """The memory of evaluation, with what stays on the device but is not read.

    That is the optimizer's state, and the images that are kept there.

    Args:
        run: whose step it is.
        step: compiled.
        memory: from ``memory_use``.
    """
    batch = batch_shapes(run.devices, run.experiment.dataset.train, step.batch_size)
    read = memory["arguments"] - _bytes_on_device(batch)
    unread = max(_bytes_on_device((run.state, run.images)) - read, 0)
    both = {
        name: memory[name] + unread
        for name in ("peak", "compiler_peak")
        if name in memory
    }
    return {**memory, "unread": unread, **both}


def _bytes_on_device(arrays: Any) -> int:
    """The bytes on one device of arrays, given by shapes and shardings."""
    return sum(
        math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize
        for x in jax.tree.leaves(arrays)
    )


def roofline(
    run: Run, operations: int, bytes_moved: int, collectives: tuple[Collective, ...]
) -> dict[str, Any] | None:
    """The least seconds that a step takes by the published figures of the device.

    Arithmetic and traffic overlap. The transfers between devices come after them,
    because the sum of the gradients waits for the last one.

    Returns:
        Values for JSON; ``None`` for a CPU, of which nothing is published here.
    """
    chip, devices = run.target.chip, run.devices.count
    if not (chip.flops and chip.memory_bandwidth and chip.link_bandwidth):
        return None
    peak = chip.flops[run.config.precision]
    sent = sum(
        each.bytes * _ROUNDS.get(each.kind, 1) * (devices - 1) / devices
        for each in collectives
    )
    seconds = {
        "compute": operations / peak,
        "memory": bytes_moved / chip.memory_bandwidth,
        "interconnect": sent / chip.link_bandwidth,
    }
    return {
        "seconds": seconds,
        "step_seconds": max(seconds["compute"], seconds["memory"])
        + seconds["interconnect"],
        "bound": max(seconds, key=lambda name: seconds[name]),
        "balance_flop_per_byte": peak / chip.memory_bandwidth,
    }


def find_copies(run: Run, program: Program) -> list[dict[str, Any]]:
    """The float32 arrays in memory that are as large as a bfloat16 activation."""
    config, devices = run.config, run.devices
    step = step_on_devices(config, run.experiment, devices, run.state)
    batch = batch_shapes(devices, run.experiment.dataset.train, config.batch_size)
    jaxpr: Any = step.trace(run.state, batch).jaxpr
    rows = config.batch_size // devices.count // config.accumulate_steps
    activations = activation_sizes(jaxpr.jaxpr, rows)
    parameters = [x.shape for x in jax.tree.leaves(run.state.params)]
    found = float32_copies(program, activations, parameters)
    return [copy._asdict() for copy in found]


def fits(costs: Mapping[str, Any]) -> bool:
    """Whether a step's memory is within the limit; true where that is unknown."""
    memory = costs["memory"]
    return memory["limit"] is None or at_once(memory) <= memory["limit"]


def at_once(memory: Mapping[str, Any]) -> int:
    """What a step must have, of the values of ``memory_use``."""
    return memory.get("compiler_peak", memory["peak"])


def estimate_largest(run: Run, costs: Mapping[str, Any]) -> int | None:
    """About the largest batch that fits, if all but the state grows with the batch.

    Args:
        run: whose training step it is.
        costs: from ``step_costs``.

    Returns:
        A multiple of what the batch size must be a multiple of; ``None`` if unknown.
    """
    memory, limit = costs["memory"], costs["memory"]["limit"]
    if limit is None:
        return None
    kept = memory["reused"] + _bytes_on_device(run.images)  # with the state
    grows = (memory["peak"] - kept) / costs["batch_size"]
    unit = run.devices.count * run.config.accumulate_steps
    size = math.floor((limit - kept) / grows)
    size = min(size, len(run.experiment.dataset.train.labels))
    return max(size // unit * unit, 0)
