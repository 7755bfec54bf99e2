"""A run that waits for its data says so, once, with what to do."""

import time

import numpy as np
import pytest

from cnnjax.data import Dataset, Split, StreamedImages
from cnnjax.train.run.experiment import Parts
from cnnjax.train.run.loop import train


def dataset(seconds, *, decodes=True):
    """Noise of 8 x 8 pixels, which takes so long to read per batch."""
    images = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), np.uint8)
    labels = np.arange(64, dtype=np.int32) % 10

    def read(numbers):
        time.sleep(seconds)
        return images[numbers]

    streamed = StreamedImages(
        "noise", read, (8, 8, 1), images.dtype, np.arange(64), decodes=decodes
    )
    others = Split(images, labels)
    return Dataset(Split(streamed, labels), others, others, 10)


def waited(records):
    return [r["data_wait_fraction"] for r in records if r["kind"] == "train"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("decodes", "advice"),
    [
        (True, "set data.cache to 'disk'; raise data.workers (now 3); lower data."),
        (False, "raise data.worker_processes (now 0), or, if the images fit in"),
    ],
)
def test_a_run_that_waits_says_so_once(
    tmp_path, small_config, recorder, monkeypatch, decodes, advice
):
    monkeypatch.setattr("cnnjax.train.run.meter.LEAST_SECONDS", 0)
    # While a validation runs, batches pile up.
    config = small_config(
        batch_size="16", data__workers="3", eval_every="12 steps", log_every="6 steps"
    )
    parts = Parts(dataset=dataset(0.1, decodes=decodes))
    train(config, tmp_path / "run", recorder, parts=parts)
    first, second = waited(recorder.records)
    assert 0.2 < min(first, second) <= max(first, second) <= 1
    (hint,) = [m for m in recorder.messages if m.startswith("training waits for data")]
    assert f"% of the time: {advice}" in hint


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 0.1])
def test_short_intervals_and_fast_data_are_no_reason(
    tmp_path, small_config, recorder, seconds
):
    parts = Parts(dataset=dataset(seconds))
    config = small_config(batch_size="16", duration="8 steps", log_every="2 steps")
    train(config, tmp_path / "run", recorder, parts=parts)
    assert not any("waits for data" in message for message in recorder.messages)


def test_waiting_is_part_of_the_work_of_the_host(tmp_path, small_config, recorder):
    config = small_config(batch_size="16")
    train(config, tmp_path / "run", recorder, parts=Parts(dataset=dataset(0.05)))
    for record in recorder.records:
        if record["kind"] == "train":
            assert 0 < record["data_wait_fraction"] <= record["host_fraction"] <= 1
