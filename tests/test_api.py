"""The Python API: training with data, models and callbacks of the caller's own."""

import numpy as np
import pytest

import cnnjax
from cnnjax import layers as nn
from cnnjax.config.files import load_config
from cnnjax.data import RawDataset, Split, make_dataset
from cnnjax.errors import ConfigError, DataError, UnknownSettingError

SHORT = {
    "model": {"name": "simple_cnn", "widths": (4,), "dense": ()},
    "duration": "6 steps",
    "eval_every": "3 steps",
    "log_every": "2 steps",
    "batch_size": 16,
    "report": ("terminal", "jsonl"),
}
OWN = {**SHORT, "model": {}}  # for a module of the caller's own


class Net(nn.Module):
    """A network of the caller's own."""

    num_classes: int = 3

    @nn.compact
    def __call__(self, x, train):
        x = nn.relu(nn.Conv(4, (3, 3))(x))
        return nn.Dense(self.num_classes)(x.mean((1, 2)))


def make_arrays(seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(90) % 3
    images = random.integers(0, 99, (90, 6, 5, 1)) + 50 * labels[:, None, None, None]
    return images.astype(np.uint8), labels


def train(workdir, config=SHORT, **arguments):
    return cnnjax.train(config, workdir=workdir, progress="none", **arguments)


def test_history_has_an_array_for_each_metric(tmp_path):
    run = train(tmp_path / "a", data="digits")
    assert run.history["train"]["step"].tolist() == [2, 4, 6]
    assert run.history["validation"]["step"].tolist() == [3, 6]
    assert run.history["test"]["accuracy"].tolist() == [run.test.accuracy]
    assert np.isfinite(run.history["train"]["loss"]).all()
    assert not train(tmp_path / "a", SHORT | {"report": ()}, data="digits").history


@pytest.mark.slow
def test_a_config_is_a_dict_a_config_dict_or_a_file(tmp_path):
    file = tmp_path / "small.py"
    file.write_text(
        "from cnnjax.config import default_config\n"
        "def get_config():\n"
        "    config = default_config()\n"
        "    config.model.name = 'simple_cnn'\n"
        "    config.model.widths, config.model.dense = (4,), ()\n"
        "    config.duration, config.eval_every = '6 steps', '3 steps'\n"
        "    config.log_every, config.batch_size = '2 steps', 16\n"
        "    return config\n"
    )
    dotted = {**SHORT, "batch_size": np.int64(16), "model.widths": [4]}
    dotted["model"] = {"name": "simple_cnn", "dense": []}
    runs = [
        train(tmp_path / str(number), config)
        for number, config in enumerate((SHORT, dotted, load_config(file), file))
    ]
    assert [run.test for run in runs] == [runs[0].test] * 4


def test_arrays_are_the_data_and_resume(tmp_path):
    own = {"config": OWN, "data": make_arrays(), "model": Net()}
    whole = train(tmp_path / "whole", **own)
    stop = cnnjax.Callback()
    stop.on_step = lambda record: record["step"] == 2
    first = train(tmp_path / "a", **own, callbacks=[stop])
    assert first.history["train"]["step"].tolist() == [2]
    resumed = train(tmp_path / "a", **own)
    assert resumed.test == whole.test
    changed, labels = make_arrays()
    changed[0, 0, 0, 0] ^= 1
    with pytest.raises(ConfigError, match="not that of the run"):
        train(tmp_path / "a", **own | {"data": (changed, labels)})


def test_splits_of_the_caller_are_used_as_they_are(tmp_path):
    images, labels = make_arrays()
    train_split, rest = Split(images[:60], labels[:60]), Split(images[60:], labels[60:])
    raw = RawDataset(train_split, rest, rest)
    run = train(tmp_path / "a", OWN, data=raw, model=Net())
    assert run.test.examples == 30
    checked = make_dataset(raw, validation_fraction=0, test_fraction=0, seed=0)
    assert train(tmp_path / "b", OWN, data=checked, model=Net()).test == run.test


def test_the_module_gets_the_precision_of_the_config(tmp_path):
    with pytest.raises(ConfigError, match="has no field dtype"):
        train(
            tmp_path / "a",
            OWN | {"precision": "bfloat16"},
            data=make_arrays(),
            model=Net(),
        )


REFUSED = {
    "config": ({"config": 3}, ConfigError, "config is 3, expected a dict"),
    "setting": ({"config": {"batchsize": 3}}, UnknownSettingError, "'batch_size'"),
    "value": ({"config": {"batch_size": object()}}, ConfigError, "a setting is"),
    "data": ({"data": 3}, ConfigError, "data is 3, expected a source"),
    "labels": ({"data": (np.zeros((9, 4, 4, 1)), [0])}, DataError, "needs one label"),
    "classes": (
        {"config": OWN, "data": make_arrays(), "model": Net(num_classes=4)},
        ConfigError,
        "num_classes is 4, expected 3",
    ),
    "option": (
        {"data": make_arrays(), "model": Net(), "config": {"model.widths": (3,)}},
        ConfigError,
        "passed as a module; set its field widths",
    ),
    "callback": ({"callbacks": [print]}, ConfigError, "subclass of cnnjax.Callback"),
    "progress": ({"progress": "loud"}, ConfigError, "progress is 'loud', expected one"),
    "workdir": ({"workdir": ""}, ConfigError, "workdir is empty"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_refused_before_anything_is_written(case, tmp_path):
    arguments, error, message = REFUSED[case]
    arguments = {"workdir": tmp_path / "a", "progress": "none", **arguments}
    with pytest.raises(error, match=message):
        cnnjax.train(**arguments)
    assert not (tmp_path / "a").exists()


def test_a_run_on_passed_data_says_so_to_a_command(tmp_path):
    train(tmp_path / "a", data=make_arrays())
    with pytest.raises(DataError, match="pass the same data again"):
        cnnjax.evaluate(tmp_path / "a")
