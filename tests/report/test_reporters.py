"""Many reporters as one."""

import pytest

from cnnjax.errors import ConfigError
from cnnjax.report.reporters import Reporters, make_reporter


class Recorder:
    """A reporter that notes its calls in a shared list."""

    def __init__(self, name, calls, error=None):
        self.name, self.calls, self.error = name, calls, error

    def __getattr__(self, method):
        return lambda *args: self.calls.append((self.name, method, *args))

    def close(self):
        """Note the call, and fail if there is an error to fail with."""
        self.calls.append((self.name, "close"))
        if self.error:
            raise self.error


def test_each_call_reaches_all_in_order():
    calls = []
    both = Reporters(Recorder("a", calls), Recorder("b", calls))
    both.start({"name": "digits"})
    both.step({"step": 1})
    both.log({"kind": "train"})
    both.message("hello")
    both.close()
    assert calls == [
        (name, method, *args)
        for method, *args in [
            ("start", {"name": "digits"}),
            ("step", {"step": 1}),
            ("log", {"kind": "train"}),
            ("message", "hello"),
            ("close",),
        ]
        for name in "ab"
    ]


def test_all_are_closed_when_one_raises():
    calls = []
    broken = Recorder("a", calls, OSError("disk full"))
    with pytest.raises(OSError, match="disk full"):
        Reporters(broken, Recorder("b", calls)).close()
    assert calls == [("a", "close"), ("b", "close")]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("tensorbord",), "unknown reporter 'tensorbord'; did you mean 'tensorboard'?"),
        (("jsonl", "jsonl"), "report names 'jsonl' twice"),
        (("nowhere_to_be:found",), "report is 'nowhere_to_be:found', but there is no"),
    ],
)
def test_names_of_no_reporter_are_refused(tmp_path, names, message):
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        make_reporter(tmp_path, names)


def test_only_the_reporters_that_are_named_write(tmp_path):
    reporter = make_reporter(tmp_path, ())
    reporter.log({"kind": "train", "step": 1, "loss": 0.5})
    reporter.close()
    assert not list(tmp_path.iterdir())
