"""The search for the largest batch, and memory that a compiler refuses."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from cnnjax.plan import fit
from cnnjax.plan.steps import needed_bytes, too_large
from cnnjax.plan.targets import parse_target

MESSAGES = {
    "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO"
    " temporaries (360.00G) exceeds available HBM (15.75G).": 360 * 2**30,
    "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory"
    " space hbm. Used 20.50G of 15.75G hbm.": int(20.5 * 2**30),
    "INTERNAL: libdevice not found": None,
}


@pytest.mark.parametrize("message", MESSAGES)
def test_the_needed_memory_is_read(message):
    assert needed_bytes(message) == MESSAGES[message]


def test_the_error_says_by_how_much():
    error = too_large(parse_target("v5e:2x2"), 20 * 2**30, "reduce it")
    assert "needs 21.5 GB" in str(error)
    assert "has 16.9 GB: 4.56 GB too much" in str(error)


@pytest.fixture
def search(monkeypatch):
    """The outcome of a search, and the sizes that were compiled."""

    def search(memory, limit, first=64, examples=10**6, devices=4):
        sizes = []
        monkeypatch.setattr(
            fit, "with_settings", lambda run, batch_size: sizes.append(batch_size)
        )
        monkeypatch.setattr(fit, "peak_of", lambda run: memory(sizes[-1]))
        labels = np.broadcast_to(np.uint8(0), examples)
        train = SimpleNamespace(labels=labels)
        run = SimpleNamespace(
            devices=SimpleNamespace(count=devices),
            config=SimpleNamespace(batch_size=first, accumulate_steps=1),
            experiment=SimpleNamespace(dataset=SimpleNamespace(train=train)),
        )
        return fit.search_largest(cast(Any, run), memory(first), limit), sizes

    return search


@pytest.mark.parametrize("first", [4, 64, 4096])
def test_the_largest_batch_is_found_with_few_compilations(search, first):
    found, sizes = search(lambda n: 1000 + 7 * n, 10_000, first)
    assert found.fits <= (10_000 - 1000) // 7 < found.too_large
    assert found.too_large - found.fits <= max(4, 0.02 * found.too_large)
    assert found.peak == 1000 + 7 * found.fits
    assert len(sizes) <= fit.COMPILATIONS
    assert all(size % 4 == 0 for size in sizes)


def test_memory_that_grows_in_steps_is_found_too(search):
    found, _ = search(lambda n: 1000 + 7 * (n // 100 * 120 + n % 50), 10_000)
    assert found.peak <= 10_000
    assert found.too_large is None or found.too_large > found.fits


def test_memory_that_stops_growing_below_the_limit_is_bisected(search):
    # As a TPU's compiler does, which computes again what would not fit.
    found, _ = search(lambda n: min(7 * n, 9_900) + 40 * max(n - 2000, 0), 10_000, 4096)
    assert 1800 <= found.fits <= 2002 < found.too_large <= 2300


def test_a_guess_outside_of_the_bounds_is_bisected(search):
    # Flat below the limit: a line through two close sizes meets the limit far away.
    memory = {True: lambda n: 9_990 - n // 1000, False: lambda n: 10**6}
    found, _ = search(lambda n: memory[n <= 6800](n), 10_000, 90_000, devices=1)
    assert 6000 <= found.fits <= 6800 < found.too_large
    assert found.close == (found.too_large - found.fits <= 0.02 * found.too_large)


def test_the_batch_is_at_most_the_training_split(search):
    found, _ = search(lambda n: n, 10_000, examples=999)
    assert (found.fits, found.too_large) == (996, None)


def test_nothing_fits(search):
    found, _ = search(lambda n: 50_000 + n, 10_000)
    assert (found.fits, found.too_large, found.peak) == (0, 4, 0)
