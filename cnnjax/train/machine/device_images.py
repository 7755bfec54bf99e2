"""Training images that stay on the devices of a run, if they are small."""

import math

import jax

from cnnjax.config import Config
from cnnjax.data import StreamedImages
from cnnjax.errors import ConfigError
from cnnjax.train.machine.devices import Devices, put_whole
from cnnjax.typing import Images

SHARE = 0.1
"""The most of a device's memory that images take by themselves."""


def put_images(
    config: Config, devices: Devices, images: Images | StreamedImages
) -> jax.Array | None:
    """The images of the training split, whole on each device.

    ``None`` if batches of images come from the host instead.

    Args:
        config: checked settings; ``data.on_device`` decides.
        devices: of the run.
        images: in memory, or streamed.

    Raises:
        ConfigError: ``data.on_device`` is ``"always"``, and they cannot stay there.
    """
    device = devices.mesh.local_devices[0]
    limit = 0
    if device.platform != "cpu":
        limit = (device.memory_stats() or {}).get("bytes_limit", 0)
    return put_whole(devices, images) if stay(config, images, limit) else None


def stay(config: Config, images: Images | StreamedImages, limit: int) -> bool:
    """Whether the images of the training split stay on the devices.

    Args:
        config: checked settings; ``data.on_device`` decides.
        images: in memory, or streamed.
        limit: bytes of memory of a device; 0 for a CPU, or if unknown.

    Raises:
        ConfigError: ``data.on_device`` is ``"always"``, and they cannot stay there.
    """
    reason = _why_not(config, images)
    if config.data.on_device == "always" and reason:
        raise ConfigError(f"data.on_device is 'always', {reason}")
    if config.data.on_device != "auto":
        return config.data.on_device == "always"
    size = math.prod(images.shape) * images.dtype.itemsize
    return not reason and size <= SHARE * limit


def _why_not(config: Config, images: Images | StreamedImages) -> str:
    """Why images cannot stay on the devices; empty if they can."""
    if isinstance(images, StreamedImages):
        return "expected 'auto' or 'never' for images that are streamed"
    if config.parallel == "pmap":
        return "expected 'auto' or 'never' with parallel='pmap'"
    if config.shard_optimizer:
        return "expected 'auto' or 'never' with shard_optimizer=true"
    return ""
