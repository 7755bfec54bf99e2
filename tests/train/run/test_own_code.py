"""Own parts that cannot be used, each refused with what was expected."""

import pytest

from cnnjax.config.files import load_config
from cnnjax.errors import ConfigError, DataError
from cnnjax.train.run.experiment import make_experiment
from tests.support.own_code import write_project

CODE = """
import numpy as np
import jax.numpy as jnp
from flax import linen as nn
number = 3
class Plain:
    pass
class NoTrain(nn.Module):
    num_classes: int
    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.num_classes)(x.reshape(len(x), -1))
class Short(nn.Module):
    num_classes: int
    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(self.num_classes - 1)(x.reshape(len(x), -1))
class Failing(Short):
    @nn.compact
    def __call__(self, x, train):
        raise RuntimeError("no luck")
class NoClasses(nn.Module):
    def __call__(self, x, train):
        return x
def make_nothing(num_classes):
    return None
def mean(logits, labels):
    return logits.mean()
def loss(logits, labels):
    return logits.mean(-1)
def accuracy(logits, labels):
    return logits.mean(-1)
def shrink(key, image):
    return image[1:]
def no_rate(momentum):
    return None
def no_optimizer(learning_rate):
    return None
def short_schedule(learning_rate):
    return lambda step: learning_rate
def rates(learning_rate, total_steps, warmup_steps):
    return lambda step: jnp.ones(2)
def two(a, b):
    return None
def none():
    return None
def fails():
    raise RuntimeError("no luck")
"""

CASES = [
    ("model.name", "nowhere:Net", "there is no module nowhere in"),
    ("model.name", "own:NoTrian", "did you mean 'NoTrain'?"),
    ("model.name", "own:number", "an int, expected a Flax module"),
    ("model.name", "own:Plain", "a class, expected a Flax module"),
    ("model.name", "own:NoTrain", "give it an argument train"),
    ("model.name", "own:NoClasses", "and no num_classes"),
    ("model.name", "own:Short", "returns float32 (2, 2) for 2 images"),
    ("model.name", "own:Failing", "failed with RuntimeError: no luck"),
    ("model.name", "own:make_nothing", "returned a NoneType"),
    ("model.name", "mine", "give 'module:attribute' instead of adding it to MODELS"),
    ("model.depth", "3", "unknown option of model 'my_parts:Net' 'depth'"),
    ("sync_batch_norm", "true", "has no batch normalization"),
    ("precision", "bfloat16", "has no field dtype"),
    ("loss.name", "own:number", "expected a function of logits"),
    ("loss.name", "own:mean", "returns float32 () for logits (3, 3)"),
    ("loss.label_smoothing", "0.1", "has no parameter label_smoothing"),
    ("metrics", "own:mean", "returns float32 ()"),
    ("metrics", "own:accuracy", "the name 'accuracy' is taken"),
    ("metrics", "topp5", "unknown metric 'topp5'; did you mean 'top5'?"),
    ("metrics", "top4", "expected at most 'top3', because the data has 3 classes"),
    ("metrics", "('auc', 'auc')", "metrics holds 'auc' twice"),
    ("metrics", "loss", "metrics holds 'loss', which is always reported"),
    ("metrics", "(1, 2)", "expected names of metrics and import paths"),
    ("monitor", "top2", "expected 'max:top2' if a higher value is better"),
    ("monitor", "auc", "to monitor auc, add it to the setting metrics"),
    ("monitor", "acuracy", "unknown metric 'acuracy'; did you mean 'accuracy'?"),
    ("monitor", "min:accuracy", "a higher accuracy is better; write 'accuracy'"),
    ("monitor", "most:loss", "expected the name of a metric, such as 'loss', or"),
    ("data.augment", "own:shrink", "returns float32 (15, 16, 1)"),
    ("data.augment", "own:loss", "expected a function of a key and one image"),
    ("optimizer.name", "own:no_rate", "expected a function make(learning_rate"),
    ("optimizer.name", "own:no_optimizer", "a trial update failed with"),
    ("optimizer.beta", "1", "unknown option of my_parts:sgd 'beta'"),
    ("schedule.name", "own:short_schedule", "which takes (learning_rate), expected"),
    ("schedule.name", "own:rates", "whose rate has shape (2,)"),
    ("data.source", "own:two", "which takes (a, b), expected a function load"),
    ("data.source", "own:none", "returned None, expected a function load"),
    ("data.source", "own:none:5", "and is given the argument '5'"),
    ("data.source", "own:fails", "failed with RuntimeError: no luck"),
    ("data.source", "diggits:file", "did you mean 'digits'?"),
    ("model.name", "broken:Net", "failed with SyntaxError"),
    ("model.name", "raising:Net", "ZeroDivisionError: division by zero"),
]


@pytest.mark.parametrize(("setting", "text", "message"), CASES)
def test_an_own_part_that_cannot_be_used_is_refused(tmp_path, setting, text, message):
    config = write_project(tmp_path / "project")
    (tmp_path / "project" / "own.py").write_text(CODE)
    (tmp_path / "project" / "broken.py").write_text("def\n")
    (tmp_path / "project" / "raising.py").write_text("1 / 0\n")
    changes = {setting: text, "batch_size": "8"}
    if setting == "model.name":
        changes |= {"model.width": "none"}
    with pytest.raises((ConfigError, DataError)) as caught:
        make_experiment(load_config(config, changes))
    assert message in str(caught.value)
    assert setting.split(".")[0] in str(caught.value)


def test_each_config_gets_the_module_beside_it(tmp_path):
    for name, width in (("one", 4), ("two", 6)):
        config = write_project(tmp_path / name)
        module = tmp_path / name / "my_parts.py"
        text = module.read_text().replace("width: int = 16", f"width: int = {width}")
        module.write_text(text)
        changes = {"model.width": "none", "batch_size": "8"}
        model = make_experiment(load_config(config, changes)).model
        assert getattr(model, "width", None) == width


def test_a_config_that_imports_a_missing_module_says_where_it_looked(tmp_path):
    (tmp_path / "config.py").write_text("import nothing_here\n")
    with pytest.raises(ConfigError, match=f"modules are searched in {tmp_path}"):
        load_config(tmp_path / "config.py")


def test_a_file_beside_the_config_does_not_replace_an_installed_module(tmp_path):
    config = write_project(tmp_path / "project")
    (tmp_path / "project" / "optax.py").write_text("1 / 0\n")
    changes = {"model.name": "optax:Net", "model.width": "none"}
    with pytest.raises(ConfigError, match="is installed and hides"):
        make_experiment(load_config(config, changes))
