"""Checks, before any work, that all processes of a run have the same inputs.

Otherwise nobody would notice: each process would train on its own inputs, and the sums
over all processes would be meaningless.
"""

import itertools
import json
import os
import socket
import time
import uuid
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from jax._src.distributed import global_state  # its client has no public name

from cnnjax import __version__
from cnnjax.config import Config
from cnnjax.config.files import flatten
from cnnjax.data import Normalization
from cnnjax.errors import ConfigError
from cnnjax.train.machine.numerics import describe_backend
from cnnjax.train.machine.processes import are_many, is_first
from cnnjax.train.machine.shutdown import check_left
from cnnjax.train.run.data_identity import WORDS, Identity

POLL_SECONDS = 0.05
VISIBLE_SECONDS = 10  # that a file may take to appear on a network disk
SHOWN = 5  # differences
LONGEST = 60  # characters of a value that are shown
# Each process may have folders of its own for what it keeps for later runs.
OWN_SETTINGS = ("compilation_cache", "data.cache_folder")
LIBRARIES = ("jax", "jaxlib", "flax", "optax", "numpy")
_KEYS = "cnnjax/given"
_exchanges = itertools.count()


def check_same(
    config: Config,
    identity: Identity,
    normalization: Normalization,
    resume: str,
    platform: str,
) -> None:
    """Checks that all processes have the same settings, data and libraries.

    Args:
        config: checked settings.
        identity: of the data.
        normalization: of the run.
        resume: the command's ``--resume``.
        platform: of the devices.

    Raises:
        ConfigError: in every process, with the differences.
    """
    if not are_many():
        return
    settings = dict(flatten(config.to_dict()))
    mean, std = normalization
    given = {
        "cnnjax": __version__,
        **{name: version(name) for name in LIBRARIES},
        **{k: v for k, v in settings.items() if k not in OWN_SETTINGS},
        "--resume": resume,
        "JAX_ENABLE_X64": jax.config.jax_enable_x64,  # type: ignore[attr-defined]
        "JAX_DEFAULT_MATMUL_PRECISION": jax.config.jax_default_matmul_precision,  # type: ignore[attr-defined]
        "JAX_DEFAULT_PRNG_IMPL": jax.config.jax_default_prng_impl,  # type: ignore[attr-defined]
        "kernels": describe_backend(config, platform),
    }
    data = {
        f"{WORDS.get(key, key)} of the {split} split": value
        for split, values in identity.items()
        for key, value in values.items()
    } | {"normalization": [mean.tolist(), std.tolist()]}
    texts = exchange("settings", json.dumps([given, data], default=str))
    # Different settings, such as the seed, may be the reason why the data differ.
    settings, data = zip(*map(json.loads, texts), strict=True)
    found = find_differences(settings) or find_differences(data)
    if not found:
        return
    more = len(found) - SHOWN
    rest = f"; and {more} more" if more > 0 else ""
    raise ConfigError(
        f"the processes differ: {'; '.join(found[:SHOWN])}{rest}."
        " Start all of them with the same command, on the same data"
    )


def find_differences(given: Sequence[dict[str, Any]]) -> list[str]:
    """What differs between the processes, one sentence for each name.

    Args:
        given: the inputs of each process, process 0 first.
    """
    names = list(dict.fromkeys(name for one in given for name in one))
    told = []
    for name in names:
        holders: dict[str, list[int]] = {}
        for number, one in enumerate(given):
            text = repr(one[name]) if name in one else "missing"
            holders.setdefault(text, []).append(number)
        if len(holders) > 1:
            parts = [f"{_short(text)} ({_name(of)})" for text, of in holders.items()]
            told.append(f"{name} is {', '.join(parts)}")
    return told


def check_shared(workdir: Path) -> None:
    """Checks that the working directory is the same folder in every process.

    Process 0 creates a file there, and the others look for it.

    Raises:
        ConfigError: in every process, naming those that do not see the file.
    """
    if not are_many():
        return
    name = f".shared-{uuid.uuid4().hex}"
    host = socket.gethostname()
    mark = workdir / exchange("mark", name)[0]
    reason = ""
    if is_first():
        try:
            mark.touch(exist_ok=False)
        except OSError as error:
            reason = f"workdir {workdir} cannot be written ({error.strerror})"
    try:
        reason = exchange("mark is there", reason)[0]
        if reason:
            raise ConfigError(f"{reason}; give another --workdir")
        seen = is_first() or _sees(mark)
        answers = exchange("seen", "" if seen else f"on {host}, {workdir.absolute()}")
    finally:
        if is_first():
            mark.unlink(missing_ok=True)
    blind = [number for number, answer in enumerate(answers) if answer]
    if blind:
        raise ConfigError(
            f"workdir is not shared: {_name(blind)} ({answers[blind[0]]}) sees a"
            " different folder from process 0; give a --workdir on a disk that all of"
            " them share"
        )


def _sees(mark: Path) -> bool:
    """Whether a file appears; a network disk may show it late."""
    end = time.monotonic() + VISIBLE_SECONDS
    while True:
        try:
            if mark.name in os.listdir(mark.parent):
                return True
        except OSError:
            pass
        if time.monotonic() >= end:
            return False
        time.sleep(POLL_SECONDS)


def exchange(name: str, text: str) -> list[str]:
    """Gathers a text from every process, process 0 first.

    It sends no arrays, so that even processes whose arrays do not match can compare
    their inputs. If another process ends in the meantime, this one ends, too.

    Args:
        name: of the exchange, the same in all processes.
        text: of this process.
    """
    if not are_many():
        return [text]
    client: Any = global_state.client
    folder = f"{_KEYS}/{next(_exchanges)} {name}"
    client.key_value_set(f"{folder}/{global_state.process_id}", text)
    told = f"{folder} by all"
    if is_first():
        while len(pairs := client.key_value_dir_get(folder)) < (
            global_state.num_processes
        ):
            _pause()
        texts = {int(key.rpartition("/")[2]): text for key, text in pairs}
        client.key_value_set(told, json.dumps([texts[i] for i in sorted(texts)]))
    while not _is_there(client, told):
        _pause()
    return json.loads(client.key_value_try_get(told))


def _is_there(client: Any, key: str) -> bool:
    try:
        return client.key_value_try_get(key) is not None
    except jax.errors.JaxRuntimeError:  # not found
        return False


def _pause() -> None:
    check_left()
    time.sleep(POLL_SECONDS)


def _name(numbers: list[int]) -> str:
    word = "process" if len(numbers) == 1 else "processes"
    return f"{word} {', '.join(map(str, numbers))}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
