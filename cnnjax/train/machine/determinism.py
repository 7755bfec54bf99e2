"""The setting ``deterministic``: a GPU computes the same bits in every run.

By default, XLA times several kernels for an operation on a GPU and takes the fastest,
and some of its kernels add numbers in the order in which threads happen to finish. One
flag turns off both. XLA reads its flags once, when JAX starts its devices.
"""

import os

import jax
from jax._src.xla_bridge import backends_are_initialized  # which has no public name
from jax.extend.backend import get_compile_options

from cnnjax.errors import ConfigError

FLAG = "--xla_gpu_deterministic_ops"
IMPLIED = "--xla_gpu_exclude_nondeterministic_ops"
VARIABLE = "XLA_FLAGS"


def request_determinism() -> None:
    """Sets the flag in the environment, unless JAX has started already.

    Raises:
        ConfigError: the environment says the contrary.
    """
    check_flags()
    flags = os.environ.get(VARIABLE, "")
    names_a_file = flags.strip() and not flags.lstrip().startswith("-")
    if names_a_file or FLAG in _values(flags) or backends_are_initialized():
        return
    os.environ[VARIABLE] = f"{flags} {FLAG}=true".strip()


def check_flags() -> None:
    """Refuses flags that contradict the setting.

    Raises:
        ConfigError: names the flag.
    """
    values = _values(os.environ.get(VARIABLE, ""))
    for name in (FLAG, IMPLIED):
        if values.get(name, "true").lower() not in ("", "true", "1"):
            raise ConfigError(
                f"{VARIABLE} has {name}={values[name]}, but a deterministic run needs"
                f" it to be true; remove it from {VARIABLE}, or set deterministic to"
                " false"
            )


def check_determinism(platform: str) -> None:
    """Refuses a GPU on which JAX has started without the flag.

    Args:
        platform: ``"cpu"``, ``"gpu"`` or ``"tpu"``.

    Raises:
        ConfigError: with what to set, and where.
    """
    check_flags()
    if platform == "gpu" and not is_deterministic():
        raise ConfigError(
            "deterministic is true, but JAX has already started on this GPU without"
            f" {FLAG}=true; add that to the environment variable {VARIABLE} before"
            " Python starts, or call cnnjax.train before anything uses a device"
        )


def is_deterministic() -> bool:
    """Whether XLA has read the flag."""
    options = get_compile_options(num_replicas=1, num_partitions=1)
    build = options.executable_build_options  # jaxlib needs both alive to print
    return f"{FLAG.lstrip('-')}: true" in str(build.debug_options)


def describe_determinism() -> str:
    """What the setting does on the devices here, for people."""
    platform = jax.default_backend()
    if platform != "gpu":
        return f"the setting changes nothing on this platform, {platform}"
    if is_deterministic():
        return f"yes: XLA runs with {FLAG}"
    return "no: two runs may differ in the last digits; set deterministic to true"


def _values(flags: str) -> dict[str, str]:
    """The flags by name; the last one of a name counts."""
    return {name: value for name, _, value in (f.partition("=") for f in flags.split())}
