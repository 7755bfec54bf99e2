"""Several steps in one call: the numbers, files and reports of single steps."""

import json
import os
import subprocess
import sys

import pytest

from cnnjax.errors import ConfigError, Interrupted, NonFiniteLossError
from cnnjax.report import MetricsFile
from cnnjax.train.run.calls import make_calls
from cnnjax.train.run.lengths import Lengths
from cnnjax.train.run.loop import train
from tests.support.train.faults import DIGITS, SHORT, StopAt, assert_same
from tests.train.conftest import Recorder

# No two of these divide each other.
ODD = {
    "duration": "31 steps",
    "log_every": "8 steps",
    "eval_every": "9 steps",
    "checkpoint__every": "11 steps",
    "data__crop_padding": "1",
    "data__flip": "true",
}
LENGTHS = Lengths(
    *(31, 9, 8, 6),
    save_every=11,
    save_seconds=None,
    keep_every=14,
    warmup=0,
    boundaries=(),
)


def without_times(record):
    names = ("second", "fraction")
    return {k: v for k, v in record.items() if not any(name in k for name in names)}


def told(recorder):
    """All that a reporter was told, apart from times."""
    steps, records = map(list, (recorder.steps, recorder.records))
    checkpoints = [step for step, _ in recorder.checkpoints]
    return [*map(without_times, steps)], [*map(without_times, records)], checkpoints


def lines(folder):
    text = (folder / "metrics.jsonl").read_text().splitlines()
    return [without_times(json.loads(line)) for line in text]


class Both(Recorder):
    """A recorder that writes ``metrics.jsonl``, too."""

    def __init__(self, folder):
        super().__init__()
        self.file = MetricsFile(folder / "metrics.jsonl")

    def log(self, record):
        super().log(record)
        self.file.log(record)

    def rewind(self, step):
        self.file.rewind(step)


def run(config, folder, watched=lambda reporter: reporter):
    """Trains in ``folder``, which may hold a run: the result, and the reporter."""
    reporter = Both(folder)
    try:
        return train(config, folder, watched(reporter)), reporter
    finally:
        reporter.file.close()


@pytest.fixture(scope="module")
def single(tmp_path_factory, small_config):
    """A run of 31 single steps: its result, and what it told and wrote."""
    folder = tmp_path_factory.mktemp("single") / "run"
    result, reporter = run(small_config(**ODD), folder)
    return result, told(reporter), lines(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"steps_per_call": "7"},
        {"steps_per_call": "7", "data__on_device": "always"},
        {"steps_per_call": "500", "parallel": "pmap"},
        {"data__on_device": "always"},
    ],
)
def test_numbers_files_and_reports_are_those_of_single_steps(
    tmp_path, small_config, single, settings
):
    result, reporter = run(small_config(**ODD, **settings), tmp_path / "run")
    expected, said, written = single
    assert_same(result.state, expected.state)
    assert result.test == expected.test
    assert told(reporter) == said
    assert lines(tmp_path / "run") == written


@pytest.mark.slow
def test_several_devices_give_the_numbers_of_single_steps(tmp_path):
    several = ["--config.steps_per_call=4", "--config.data.on_device=always"]
    for name, words in ("single", []), ("several", several):
        command = [sys.executable, "-m", "cnnjax", "train", DIGITS, *SHORT, *words]
        subprocess.run(
            [*command, f"--workdir={tmp_path / name}", "--config.log_every=1 steps"],
            env=os.environ | {"JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu"},
            check=True,
        )
    written = lines(tmp_path / "single")
    assert len(written) > 20
    assert lines(tmp_path / "several") == written


@pytest.mark.slow
def test_a_stopped_run_resumes_with_calls_of_another_length(
    tmp_path, small_config, single
):
    """A stop is served after the call that runs when it comes, or the next one."""
    folder, stops = tmp_path / "run", []
    for steps, at in (("7", 2), ("3", 13), ("4", 20)):
        config = small_config(**ODD, steps_per_call=steps)
        with pytest.raises(Interrupted) as caught:
            run(config, folder, lambda reporter: StopAt(reporter, at))  # noqa: B023
        stops.append(int(str(caught.value).split("after step ")[1].split()[0]))
    result, _ = run(small_config(**ODD), folder)
    assert stops == [8, 16, 24]
    expected, _, written = single
    assert_same(result.state, expected.state)
    assert lines(folder) == written


@pytest.mark.slow
def test_a_killed_run_resumes_with_calls_of_another_length(
    tmp_path, small_config, single
):
    class Dies(StopAt):
        def step(self, record):
            if record["step"] == self.at:
                raise RuntimeError("power cut")

    folder = tmp_path / "run"
    with pytest.raises(RuntimeError, match="power cut"):
        config = small_config(**ODD, steps_per_call="6")
        run(config, folder, lambda reporter: Dies(reporter, 26))
    result, reporter = run(small_config(**ODD, steps_per_call="4"), folder)
    assert reporter.steps[0]["step"] == 23
    assert_same(result.state, single[0].state)
    assert lines(folder) == single[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"data__sampling": "balanced", "accumulate_steps": "2", "spike_factor": "1.01"},
        {
            "data__augment": "('alternating_flip',)",
            "data__flip": "false",
            "data__validation_fraction": "0.2",
        },
        {"model__batch_norm": "true", "average_decay": "0.9"},
        {"freeze": "Conv_0.*", "unfreeze": "('10 steps',)"},
    ],
)
def test_features_of_a_run_keep_their_numbers(tmp_path, small_config, settings):
    """Over 25 steps, more than an epoch."""
    settings = ODD | {"duration": "25 steps", "batch_size": "60"} | settings
    found = []
    for more in ({}, {"steps_per_call": "7", "data__on_device": "always"}):
        reporter = Recorder()
        config = small_config(**settings, **more)
        result = train(config, tmp_path / str(len(more)), reporter)
        found.append((result, told(reporter), reporter.messages))
    assert_same(found[0][0].state, found[1][0].state)
    assert found[0][1] == found[1][1]
    skips = [[m for m in said if "is skipped" in m] for *_, said in found]
    assert skips[0] == skips[1]


@pytest.mark.slow
def test_a_loss_that_is_not_finite_is_that_of_its_step(tmp_path, small_config):
    bad = {"optimizer__learning_rate": "1e30", "schedule__warmup": "0 steps"}
    found = []
    for steps in ("1", "7"):
        reporter = Recorder()
        config = small_config(**ODD, **bad, steps_per_call=steps)
        with pytest.raises(NonFiniteLossError) as caught:
            train(config, tmp_path / steps, reporter)
        found.append((str(caught.value), caught.value.step, told(reporter)))
    assert found[0] == found[1]


@pytest.mark.slow
def test_after_a_rollback_the_numbers_are_those_of_single_steps(tmp_path, small_config):
    bad = {"optimizer__learning_rate": "1e9", "schedule__warmup": "20 steps"}
    bad |= {"on_nan": "rollback", "rollback__factor": "1e-12", "optimizer__name": "sgd"}
    found = []
    for steps in ("1", "7"):
        reporter = Recorder()
        config = small_config(**ODD, **bad, steps_per_call=steps)
        result = train(config, tmp_path / steps, reporter)
        found.append((result, reporter))
    assert_same(found[0][0].state, found[1][0].state)
    backs = [[m for m in r.messages if "going back" in m] for _, r in found]
    assert backs[0] == backs[1] != []


@pytest.mark.slow
def test_with_watch_state_each_step_is_a_call(tmp_path, small_config, single):
    seen = []
    config = small_config(**ODD, steps_per_call="7")
    result = train(
        config, tmp_path, Recorder(), watch_state=lambda s: seen.append(int(s.step))
    )
    assert seen == [*range(1, 32)]
    assert_same(result.state, single[0].state)


@pytest.mark.parametrize("longest", [1, 7, 100])
@pytest.mark.parametrize("profile", [range(0), range(12, 15)])
def test_calls_end_where_something_happens(small_config, longest, profile):
    lengths = LENGTHS._replace(unfreeze=(4, 17))
    config = small_config(steps_per_call=str(longest))
    calls = make_calls(config, lengths, profile, reports_layers=True)
    needed = {n for n in range(1, 32) if any(n % each == 0 for each in (9, 8, 11, 14))}
    needed |= {4, 17, 31, *range(5, 31, 6), *([11, 14] if profile else [])}
    assert calls.longest == min(longest, 8)
    for first in range(31):
        step, ends = first, []
        while step < 31:
            before, step = step, calls.end(step)
            assert before < step <= before + calls.longest
            ends.append(step)
        assert needed & {*range(first + 1, 32)} <= {*ends}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"steps_per_call": "0"},
            "steps_per_call is 0, expected a whole number from 1",
        ),
        ({"steps_per_call": "2.5"}, "steps_per_call"),
        ({"data__on_device": "maybe"}, "expected 'auto', 'always' or 'never'"),
    ],
)
def test_wrong_values_are_refused(small_config, settings, message):
    with pytest.raises(ConfigError, match=message):
        small_config(**settings)


def test_settings_that_exclude_each_other_are_refused(tmp_path, small_config, recorder):
    config = small_config(steps_per_call="2", shard_optimizer="true")
    with pytest.raises(ConfigError, match="steps_per_call is 2, expected 1 with shard"):
        train(config, tmp_path / "run", recorder)
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.slow
def test_convolutions_with_other_numbers_in_a_loop_are_refused(
    tmp_path, small_config, recorder
):
    config = small_config(gradients="autodiff", steps_per_call="4")
    with pytest.raises(ConfigError, match="steps_per_call is 4, expected 1: on a CPU"):
        train(config, tmp_path / "run", recorder)
