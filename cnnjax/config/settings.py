"""The settings of a run: every one, its default, its unit, and what it may be.

A config file defines ``get_config()``, which takes ``default_config()`` and changes
what it wants; the command line changes single settings after that. Durations are text:
``"10 epochs"``, ``"500 steps"``, ``"20000 examples"``, ``"5%"`` (of the whole run).

The sections ``model`` and ``optimizer`` are open: further keys there are options of the
chosen network or of the chosen optimizer, and are checked against them.
"""

import re
from typing import Any, TypeAlias

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from cnnjax.config.values import LARGEST
from cnnjax.errors import ConfigError, wrong_value

Config: TypeAlias = Any
"""A locked ``ConfigDict``, whose attributes no type checker can know."""

OPEN_SECTIONS = ("model", "optimizer")

OPEN_KINDS = {"model.blocks": tuple, "model.dense": tuple, "model.widths": tuple}
"""The options of open sections that are lists, so that one number is a list of one."""

MOST_BLOCKS = 1000  # of a stage; tracing more would take hours


def default_config() -> Config:
    """Every setting with its default; new keys are refused."""
    config: Config = ConfigDict()
    config.seed = 0  # decides weights, order of examples, dropout, augmentation

    config.data = ConfigDict()
    config.data.source = "digits"  # kind or kind:argument, see cnnjax.data
    config.data.streaming = False  # read images when they are needed, not into memory
    config.data.num_classes = placeholder(int)  # None: as many as the data has
    config.data.validation_fraction = 0.1  # held out where the set has no validation
    config.data.test_fraction = 0.2  # held out where the set has no test split
    config.data.crop_padding = 0  # pixels; random crop from the padded image
    config.data.flip = False  # mirror each training image with probability 1/2

    config.model = ConfigDict()
    config.model.name = "small_cnn"  # a key of cnnjax.models.MODELS

    config.loss = ConfigDict()
    config.loss.name = "softmax"  # or "sigmoid": one yes-or-no question a class
    config.loss.label_smoothing = 0.0  # share of the target spread over all classes

    config.optimizer = ConfigDict()
    config.optimizer.name = "sgd"  # any alias of optax that takes a learning rate
    config.optimizer.learning_rate = 0.1  # the peak of the schedule
    config.optimizer.weight_decay = 0.0  # off biases and normalisation
    config.optimizer.decay_mode = "decoupled"  # or "l2": added to the gradient
    config.optimizer.clip_norm = placeholder(float)  # of all gradients; None: never

    config.schedule = ConfigDict()
    config.schedule.name = "cosine"  # constant, cosine, one_cycle or step
    config.schedule.warmup = "0 steps"  # duration of the linear rise from 0
    config.schedule.end_fraction = 0.0  # cosine: last rate as a share of the peak
    config.schedule.boundaries = ()  # step: durations after which the rate falls
    config.schedule.factor = 0.1  # step: what the rate is multiplied by

    config.parallel = "jit"  # or "pmap": what compiles the step for many devices
    config.devices = placeholder(int)  # of each process; None: all that it has
    config.accumulate_steps = 1  # parts of a batch, taken one after the other
    config.sync_batch_norm = False  # moments over all devices, or on each its own
    config.shard_optimizer = False  # its state is divided among the devices

    config.gradients = "custom"  # hand-written; or "autodiff": those of JAX
    config.backend = "auto"  # on a CPU: oneDNN where it is faster, "native" or "xla"
    config.precision = "float32"  # or "bfloat16": of activations; weights stay float32
    config.duration = "10 epochs"  # how long to train
    config.batch_size = 128  # examples a step
    config.eval_batch_size = 500  # examples at once in evaluation
    config.eval_every = "1 epoch"  # duration between validations
    config.log_every = "50 steps"  # duration between lines of training metrics

    config.checkpoint = ConfigDict()
    config.checkpoint.every = "1 epoch"  # or "10 minutes"; one more at the end
    config.checkpoint.keep = 2  # newest ones; the best in validation is kept as well
    config.checkpoint.keep_every = placeholder(str)  # duration; these stay for good

    config.monitor = "loss"  # or "accuracy": what tells the best validation
    config.average_decay = placeholder(float)  # of the averaged weights; None: none
    config.early_stopping = ConfigDict()
    config.early_stopping.patience = placeholder(int)  # validations; None: never stop
    config.early_stopping.min_improvement = 0.0  # less than that is none
    config.early_stopping.restore_best = True  # end with the best state, not the last

    config.on_nan = "stop"  # or "rollback": to the last checkpoint, at a lower rate
    config.rollback = ConfigDict()
    config.rollback.times = 3  # at most, in the whole run
    config.rollback.factor = 0.5  # what the learning rate is multiplied by each time
    config.spike_factor = placeholder(float)  # skip steps of this many times the loss

    config.init_from = placeholder(str)  # a trained run to start from, for fine-tuning
    config.init_load = ".*"  # regular expression: names of what is taken from there
    config.freeze = ""  # regular expression: names of what is not trained

    config.compilation_cache = placeholder(str)  # a folder; None: see cnnjax info
    config.lock()
    for section in OPEN_SECTIONS:
        config[section].unlock()
    return config


def _positive(value) -> bool:
    return 0 < value <= LARGEST


def _not_negative(value) -> bool:
    return 0 <= value <= LARGEST


def _is_size(value) -> bool:
    return type(value) is int and 1 <= value < 2**31


def _sizes(values) -> bool:
    return isinstance(values, tuple) and all(map(_is_size, values))


def _are_blocks(values) -> bool:
    return _sizes(values) and max(values, default=1) <= MOST_BLOCKS


def _share(value) -> bool:
    return 0 <= value <= 1


def _below_one(value) -> bool:
    return 0 <= value < 1


def _part(value) -> bool:
    return 0 < value < 1


def _is_pattern(value) -> bool:
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


RULES = {
    "seed": (lambda v: 0 <= v < 2**31, "a whole number from 0 to 2147483647"),
    "data.num_classes": (_is_size, "a whole number of 1 or more, below 2^31"),
    "data.validation_fraction": (_part, "a number between 0 and 1, both excluded"),
    "data.test_fraction": (_part, "a number between 0 and 1, both excluded"),
    "data.crop_padding": (lambda v: v >= 0, "a whole number of 0 or more pixels"),
    "model.blocks": (_are_blocks, f"whole numbers from 1 to {MOST_BLOCKS}"),
    "model.multiplier": (lambda v: 0 < v <= 1000, "a number above 0, at most 1000"),
    "model.widths": (_sizes, "whole numbers of 1 or more, below 2^31"),
    "model.dense": (_sizes, "whole numbers of 1 or more, below 2^31"),
    "model.kernel_size": (_is_size, "a whole number of 1 or more, below 2^31"),
    "model.dropout": (_below_one, "a number from 0 up to but not 1"),
    "loss.name": (lambda v: v in ("softmax", "sigmoid"), "'softmax' or 'sigmoid'"),
    "loss.label_smoothing": (_share, "a number from 0 to 1"),
    "optimizer.learning_rate": (_positive, "a number above 0, at most 3.4e38"),
    "optimizer.weight_decay": (_not_negative, "a number from 0 to 3.4e38"),
    "optimizer.momentum": (_below_one, "a number from 0 up to but not 1"),
    "optimizer.b1": (_below_one, "a number from 0 up to but not 1"),
    "optimizer.b2": (_below_one, "a number from 0 up to but not 1"),
    "optimizer.b3": (_below_one, "a number from 0 up to but not 1"),
    "optimizer.decay": (_below_one, "a number from 0 up to but not 1"),
    "optimizer.rho": (_below_one, "a number from 0 up to but not 1"),
    "optimizer.eps": (_positive, "a number above 0, at most 3.4e38"),
    "optimizer.nesterov": (lambda v: isinstance(v, bool), "true or false"),
    "optimizer.decay_mode": (
        lambda v: v in ("decoupled", "l2"),
        "'decoupled' or 'l2'",
    ),
    "optimizer.clip_norm": (_positive, "a number above 0, at most 3.4e38, or None"),
    "schedule.end_fraction": (_share, "a number from 0 to 1"),
    "schedule.factor": (_positive, "a number above 0, at most 3.4e38"),
    "gradients": (
        lambda v: v in ("custom", "autodiff"),
        "'custom' or 'autodiff'",
    ),
    "backend": (
        lambda v: v in ("auto", "native", "xla"),
        "'auto', 'native' or 'xla'",
    ),
    "precision": (
        lambda v: v in ("float32", "bfloat16"),
        "'float32' or 'bfloat16' (in float16 small gradients would become 0)",
    ),
    "parallel": (lambda v: v in ("jit", "pmap"), "'jit' or 'pmap'"),
    "devices": (_is_size, "a whole number of 1 or more, below 2^31, or None"),
    "accumulate_steps": (_is_size, "a whole number of 1 or more, below 2^31"),
    "batch_size": (_is_size, "a whole number of 1 or more, below 2^31"),
    "monitor": (lambda v: v in ("loss", "accuracy"), "'loss' or 'accuracy'"),
    "average_decay": (_part, "a number between 0 and 1, both excluded, or None"),
    "early_stopping.patience": (
        _is_size,
        "a whole number of 1 or more, below 2^31, or None",
    ),
    "early_stopping.min_improvement": (_not_negative, "a number from 0 to 3.4e38"),
    "on_nan": (lambda v: v in ("stop", "rollback"), "'stop' or 'rollback'"),
    "rollback.times": (_is_size, "a whole number of 1 or more, below 2^31"),
    "rollback.factor": (_part, "a number between 0 and 1, both excluded"),
    "spike_factor": (lambda v: 1 < v < float("inf"), "a number above 1, or None"),
    "init_load": (_is_pattern, "a regular expression"),
    "freeze": (_is_pattern, "a regular expression"),
    "checkpoint.keep": (_is_size, "a whole number of 1 or more, below 2^31"),
    "eval_batch_size": (_is_size, "a whole number of 1 or more, below 2^31"),
}


def validate(config: Config) -> None:
    """Checks each value against ``RULES``.

    Raises:
        ConfigError: the first value that cannot be.
    """
    for name, (holds, expected) in RULES.items():
        value = find(config, name)
        if value is not None and not _holds(holds, value):
            raise ConfigError(str(wrong_value(name, value, expected)))


def find(config: Config, name: str) -> Any:
    """The setting called by the dotted ``name``, ``None`` where there is none."""
    for key in name.split("."):
        if key not in config:
            return None
        config = config[key]
    return config


def _holds(rule, value) -> bool:
    try:
        return bool(rule(value))
    except TypeError:
        return False
