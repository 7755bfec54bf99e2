"""The whole plan of a run, as values for JSON."""

from typing import Any

import jax

from cnnjax.config import Config
from cnnjax.plan.costs import at_once, estimate_largest, fits, step_costs
from cnnjax.plan.fit import savings, search_largest
from cnnjax.plan.steps import (
    ADVICE,
    Run,
    Step,
    TooLarge,
    compile_evaluation,
    compile_training,
    is_described,
    make_run,
    too_large,
    usable_memory,
)
from cnnjax.plan.targets import Target
from cnnjax.train.run.experiment import Parts
from cnnjax.train.step.state import count_parameters


def plan(
    config: Config,
    target: Target,
    parts: Parts,
    *,
    largest_batch: bool = False,
    with_savings: bool = False,
    exact: bool = False,
) -> dict[str, Any]:
    """Compiles the steps of a run for a target, and says what they need.

    Args:
        config: checked settings.
        target: whose environment is prepared.
        parts: from ``cnnjax.plan.steps.describe_data``, where the data are not at hand.
        largest_batch: whether to search the largest batch that fits.
        with_savings: whether to compile with settings that save memory.
        exact: whether a TPU's compiler searches for fast kernels as long as for a run.

    Returns:
        Values for JSON; ``cnnjax.plan.table`` shows them to people.

    Raises:
        ConfigError: settings do not fit together or the target, or a compiler fails.
        DataError: the data cannot be read.
    """
    # A program from the cache has no memory analysis, and hides how long it took.
    jax.config.update("jax_enable_compilation_cache", False)
    run = make_run(config, target, parts, exact=exact)
    training = _costs(run, training=True)
    values = {
        **_describe(run),
        "training": training,
        "evaluation": _costs(run, training=False),
    }
    peak, limit = at_once(training["memory"]), training["memory"]["limit"]
    if "flop" in training:
        values["estimated_largest_batch"] = estimate_largest(run, training)
    if largest_batch and limit is not None:
        values["largest_batch"] = search_largest(run, peak, limit)._asdict()
    if with_savings:
        values["savings"] = savings(run, peak)
    return values


def _costs(run: Run, *, training: bool) -> dict[str, Any]:
    """The costs of a step; only its memory where it does not fit."""
    try:
        step: Step = compile_training(run) if training else compile_evaluation(run)
    except TooLarge as error:
        limit = usable_memory(run.target)
        memory = {"peak": error.needed, "limit": limit}
        return {"memory": memory, "problem": str(error)}
    costs = step_costs(run, step, training=training)
    if not fits(costs):
        needed = at_once(costs["memory"])
        costs["problem"] = str(too_large(run.target, needed, ADVICE[training]))
    return costs


def _describe(run: Run) -> dict[str, Any]:
    config, device = run.config, run.devices.mesh.devices[0]
    dataset = run.experiment.dataset
    return {
        "target": run.target.name,
        "device": f"{device.platform} ({device.device_kind})",
        "devices": run.devices.count,
        "source": run.target.chip.source,
        "model": config.model.name,
        "parameters": count_parameters(run.state.params),
        "image_shape": list(dataset.train.images.shape[1:]),
        "classes": dataset.num_classes,
        "batch_size": config.batch_size,
        "accumulate_steps": config.accumulate_steps,
        "examples": None if is_described(dataset) else len(dataset.train.labels),
        "steps_per_call": run.longest,
        "unfreezes": bool(config.unfreeze),
        "images_on_device": 0 if run.images is None else run.images.shape[0],
        "precision": config.precision,
        "quick": run.quick,
        "jax": jax.__version__,
    }
