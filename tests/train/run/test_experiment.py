"""What a config stands for, and what is refused before any work."""

import numpy as np
import pytest

from cnnjax.errors import ConfigError, DataError
from cnnjax.train.run.experiment import make_experiment


def test_lengths_in_any_unit(small_config):
    def steps(duration):
        return make_experiment(small_config(duration=duration)).lengths.total

    assert steps("12 steps") == 12
    assert steps("2 epochs") == 40  # ceil(2 * 1259 / 64)
    assert steps("640 examples") == 10


def test_percent_is_of_the_run(small_config):
    config = small_config(
        duration="200 steps", schedule__warmup="5%", eval_every="25%", log_every="1%"
    )
    lengths = make_experiment(config).lengths
    assert (lengths.warmup, lengths.eval_every, lengths.log_every) == (10, 50, 2)


def test_a_percentage_of_a_single_step(small_config):
    config = small_config(duration="1 step", schedule__warmup="5%", log_every="10%")
    lengths = make_experiment(config).lengths
    assert (lengths.total, lengths.warmup, lengths.log_every) == (1, 0, 1)


def test_step_schedule_in_percent(small_config):
    config = small_config(
        duration="100 steps",
        schedule__name="step",
        schedule__boundaries="('50%', '75%')",
        schedule__warmup="0 steps",
    )
    schedule = make_experiment(config).schedule
    rate = config.optimizer.learning_rate
    rates = [float(schedule(step)) for step in (0, 49, 50, 75, 99)]
    expected = [rate, rate, rate / 10, rate / 100, rate / 100]
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"duration": "0 epochs"},
            "duration is '0 epochs', expected more than 0",
        ),
        ({"duration": "3 epoks"}, "did you mean"),
        ({"eval_every": "soon"}, "eval_every: duration is 'soon'"),
        ({"duration": "10%"}, "duration: 10%"),
        ({"schedule__warmup": "200%"}, "schedule: warmup_steps"),
        ({"schedule__name": "cosin"}, "did you mean 'cosine'"),
        ({"model__name": "simple_cn"}, "did you mean 'simple_cnn'"),
        ({"model__wdths": "(3,)"}, "did you mean 'widths'"),
        ({"model__kernel_init": "he_norml"}, "did you mean 'he_normal'"),
        ({"optimizer__name": "adamm"}, "did you mean 'adam'"),
        ({"optimizer__nesterow": "True"}, "did you mean 'nesterov'"),
        ({"optimizer__learning_rat": "1"}, "did you mean 'optimizer.learning_rate'"),
        ({"data__num_classes": "7"}, "data.num_classes is 7, but digits has 10"),
        ({"data__num_classes": "11"}, "data.num_classes is 11, but digits has 10"),
        ({"data__crop_padding": "8"}, "data.crop_padding is 8, expected less than"),
        (
            {"model__num_classes": "3"},
            "model.num_classes cannot be set: it comes from the data",
        ),
        ({"duration": "1e9 epochs"}, "expected fewer than 2^31 steps"),
        ({"batch_size": "2000"}, "batch_size is 2000, expected at most the 1259"),
    ],
)
def test_impossible_settings_are_refused(small_config, changes, message):
    with pytest.raises(ConfigError) as caught:
        make_experiment(small_config(**changes))
    assert message in str(caught.value)


def test_an_unknown_source_is_refused(small_config):
    with pytest.raises(DataError, match="did you mean 'digits'"):
        make_experiment(small_config(data__source="digit"))


def test_the_normalization_of_imagenet(small_config):
    source = "synthetic:6x5x3,4,100"
    both = {"data__mean": "imagenet", "data__std": "imagenet"}
    config = small_config(data__source=source, batch_size="10", **both)
    mean, std = make_experiment(config).normalization
    np.testing.assert_allclose(mean / 255, [0.485, 0.456, 0.406], rtol=1e-7)
    np.testing.assert_allclose(std / 255, [0.229, 0.224, 0.225], rtol=1e-7)
    config.data.mean = ()
    mixed = make_experiment(config).normalization
    assert mixed.std.tolist() == std.tolist() and mixed.mean.tolist() != mean.tolist()
    with pytest.raises(ConfigError, match=r"'imagenet', .* have 1 channels of uint8"):
        make_experiment(small_config(**both))  # digits are gray


def test_a_given_normalization_is_not_measured(small_config):
    config = small_config(data__source="synthetic:6x5x3,4,100", batch_size="10")
    measured = make_experiment(config).normalization
    config.data.std = (58.0, 57.0, 57.5)
    mixed = make_experiment(config).normalization
    np.testing.assert_array_equal(mixed.mean, measured.mean)
    np.testing.assert_array_equal(mixed.std, [58.0, 57.0, 57.5])
    config.data.mean = (1.0, 2.0)
    with pytest.raises(ConfigError, match=r"data.mean is \(1.0, 2.0\), expected one"):
        make_experiment(config)
    with pytest.raises(ConfigError, match=r"one number .* or \('imagenet',\)"):
        small_config(data__mean="imagnet")
    config.data.mean, config.data.std = (1.0, 2.0, 3.0), (1.0, 0.0, 1.0)
    with pytest.raises(ConfigError, match=r"data.std is .*, expected numbers above 0"):
        make_experiment(config)
