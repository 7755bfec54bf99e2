"""Which training images stay on the devices."""

import numpy as np
import pytest

from cnnjax.data import StreamedImages
from cnnjax.errors import ConfigError
from cnnjax.train.machine.device_images import put_images
from cnnjax.train.machine.devices import devices_of

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 4, 5, 1), np.uint8)


def put(config, images=IMAGES, devices=None):
    return put_images(config, devices or devices_of(config), images)


class Gpu:
    """Devices that say that they are a GPU with so much memory."""

    platform = "gpu"

    def __init__(self, devices, limit):
        self.mesh, self.replicated = self, devices.replicated
        self.local_devices, self.limit = [self], limit

    def memory_stats(self):
        return {"bytes_limit": self.limit}


def test_always_puts_them_on_any_device(small_config):
    np.testing.assert_array_equal(put(small_config(data__on_device="always")), IMAGES)


@pytest.mark.parametrize("choice", ["auto", "never"])
def test_a_cpu_keeps_them_on_the_host(small_config, choice):
    assert put(small_config(data__on_device=choice)) is None


@pytest.mark.parametrize("limit", [9999, 10000])
def test_auto_takes_a_tenth_of_a_gpu(small_config, limit):
    config = small_config()
    assert IMAGES.nbytes == 1000
    held = put(config, devices=Gpu(devices_of(config), limit))
    assert (held is not None) == (limit == 10000)
    never = small_config(data__on_device="never")
    assert put(never, devices=Gpu(devices_of(config), limit)) is None


@pytest.mark.parametrize(
    ("settings", "is_streamed", "message"),
    [
        ({}, True, "'always', expected 'auto' or 'never' for images that are streamed"),
        ({"parallel": "pmap"}, False, "with parallel='pmap'"),
        ({"shard_optimizer": "true"}, False, "with shard_optimizer=true"),
    ],
)
def test_where_they_cannot_stay(small_config, settings, is_streamed, message):
    images = IMAGES
    if is_streamed:
        numbers = np.arange(len(IMAGES))
        shape, dtype = IMAGES.shape[1:], IMAGES.dtype
        images = StreamedImages("x", IMAGES.__getitem__, shape, dtype, numbers)
    with pytest.raises(ConfigError, match=message):
        put(small_config(data__on_device="always", **settings), images)
    config = small_config(**settings)
    assert put(config, images, Gpu(devices_of(config), 10**9)) is None
