"""``cnnjax train --profile``: a trace of exactly the chosen steps of a run."""

import gzip
import json
import re
import signal

import pytest

from cnnjax.errors import ConfigError, Interrupted
from cnnjax.train.run.loop import train
from tests.support.train.faults import StopAt, assert_same, error
from tests.support.train.faults import train as command


def traces(folder):
    """The numbers of the steps in each trace, the oldest first."""
    found = []
    for file in sorted(folder.glob("profile/plugins/profile/*/*.trace.json.gz")):
        events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
        steps = [e["args"]["step_num"] for e in events if e.get("name") == "train"]
        found.append([int(step) for step in steps])
    return found


def said(recorder):
    return "\n".join(recorder.messages)


@pytest.mark.slow
def test_the_steps_are_traced_and_the_states_are_unchanged(
    tmp_path, small_config, recorder
):
    config = small_config(duration="12 steps", checkpoint__every="4 steps")
    one, two = tmp_path / "one", tmp_path / "two"
    expected = train(config, one, recorder)
    stopping = StopAt(recorder, 5, signal.SIGTERM)
    with pytest.raises(Interrupted) as ended:
        train(config, two, stopping, profile=range(3, 5))
    assert traces(two) == [[3, 4]]
    stopped = int(re.search(r"after step (\d+)", str(ended.value))[1])
    steps = range(stopped, stopped + 3)  # the first of them is trained already
    result = train(config, two, recorder, profile=steps)
    assert traces(two)[-1] == [*steps][1:]
    assert f"--profile begins with step {stopped + 1}" in said(recorder)
    assert str(two / "profile") in said(recorder)
    assert_same(result.state, expected.state)
    assert result.test == expected.test

    count = len(traces(two))
    train(config, two, recorder, profile=steps)
    assert "the run has trained step 12; nothing is traced" in said(recorder)
    assert len(traces(two)) == count
    assert not (one / "profile").exists()


def test_steps_that_do_not_exist_are_refused(tmp_path, small_config, recorder, capfd):
    config, folder = small_config(duration="12 steps"), tmp_path / "run"
    with pytest.raises(ConfigError, match=r"3:14, but the run ends with step 12"):
        train(config, folder, recorder, profile=range(3, 14))
    assert not folder.exists()
    folder.mkdir()
    (folder / "profile").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="profile is not a folder"):
        train(config, folder, recorder, profile=range(3, 5))
    for text in ("5", "5:5", "0:3", "a:b", "-1:3", "3:4:5"):
        assert command(folder, f"--profile={text}") == 2
        assert f"--profile is {text!r}, expected START:STOP" in error(capfd)
