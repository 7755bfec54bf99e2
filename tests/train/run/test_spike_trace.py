"""A skipped spike names its examples and its layer, and changes no number."""

import numpy as np
import pytest

from cnnjax.api import train
from cnnjax.data import RawDataset, Split
from cnnjax.data.batches import train_indices
from cnnjax.train.run import spike_trace
from tests.support.train.faults import assert_same

SETTINGS = {
    "data.mean": (0.0,),
    "data.std": (1.0,),
    "model.widths": (4,),
    "batch_size": 8,
    "duration": "30 steps",
    "optimizer.learning_rate": 0.001,
    "spike_factor": 3.0,
}
SPIKES = (24, 27)  # steps with an image that is a thousand times brighter


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    images, labels = rng.random((256, 8, 8, 1), np.float32), np.arange(256) % 3
    held_out = Split(images[:8].copy(), labels[:8])
    for step in SPIKES:
        images[train_indices(256, 8, 0, step - 1)[5]] *= 1000
    return RawDataset(Split(images, labels), held_out, held_out)


def skips(data, folder, capsys):
    """The variables at the end of a run, and its lines about skipped steps."""
    variables = train(SETTINGS, data=data, workdir=folder, progress="lines").variables
    lines = [x for x in capsys.readouterr().out.splitlines() if "is skipped" in x]
    assert [line.split()[1] for line in lines] == [str(step) for step in SPIKES]
    return variables, lines


@pytest.mark.slow
def test_a_spike_is_traced_without_changing_the_run(
    tmp_path, data, capsys, monkeypatch
):
    monkeypatch.setattr(spike_trace, "MOST", 1)
    variables, (first, second) = skips(data, tmp_path / "traced", capsys)
    number = train_indices(256, 8, 0, 23)[5]
    assert f"are those of example {number}, at position 5 of the batch (loss" in first
    assert "larger outputs than in the step before is Conv_0: " in first
    assert first.endswith("; cnnjax replay --step=24 shows more")
    assert "largest losses" not in second  # as often as is allowed
    assert second.endswith(" is a spike; cnnjax replay --step=27 shows more")
    monkeypatch.setattr(spike_trace, "MOST", 0)
    same, _ = skips(data, tmp_path / "plain", capsys)
    assert_same(variables, same)


def test_training_continues_if_tracing_fails(tmp_path, data, capsys, monkeypatch):
    def fail(*args):
        raise RuntimeError("no memory")

    monkeypatch.setattr(spike_trace, "make_example_norms", fail)
    _, lines = skips(data, tmp_path / "run", capsys)
    for line in lines:
        assert (
            "is a spike; the cause is unknown, because tracing it failed: no memory"
            in line
        )
