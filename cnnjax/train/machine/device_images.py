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
    wanted = config.data.on_device
    if wanted == "never":
        return None
    if wanted == "always":
        if reason := _why_not(config, images):
            raise ConfigError(f"data.on_device is 'always', {reason}")
        return put_whole(devices, images)
    device = devices.mesh.local_devices[0]
    if device.platform == "cpu" or _why_not(config, images):
        return None
    limit = (device.memory_stats() or {}).get("bytes_limit", 0)
    size = math.prod(images.shape) * images.dtype.itemsize
    return put_whole(devices, images) if size <= SHARE * limit else None


def _why_not(config: Config, images: Images | StreamedImages) -> str:
    """Why images cannot stay on the devices; empty if they can."""
    if isinstance(images, StreamedImages):
        return "expected 'auto' or 'never' for images that are streamed"
    if config.parallel == "pmap":
        return "expected 'auto' or 'never' with parallel='pmap'"
    if config.shard_optimizer:
        return "expected 'auto' or 'never' with shard_optimizer=true"
    return ""
