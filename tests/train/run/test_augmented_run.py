"""Runs with augmentations by name: trained, resumed, and refused before any work."""

import pytest

from cnnjax.errors import ConfigError, Interrupted
from cnnjax.train.run.experiment import make_experiment
from cnnjax.train.run.loop import train
from tests.support.train.faults import StopAt, assert_same
from tests.train.conftest import Recorder

RECIPE = (
    "('random_crop(1)', 'flip', 'color_jitter(0.4, 0.4, 0.4)', 'randaugment(2, 9)',"
    " 'erase(0.25)')"
)


@pytest.mark.slow
def test_a_resumed_run_draws_the_same(tmp_path, small_config, recorder):
    config = small_config(data__augment=RECIPE, checkpoint__every="4 steps")
    whole = train(config, tmp_path / "whole", Recorder())
    with pytest.raises(Interrupted):
        train(config, tmp_path / "run", StopAt(recorder, 6))
    resumed = train(config, tmp_path / "run", recorder)
    assert any(text.startswith("resuming after step") for text in recorder.messages)
    assert_same(resumed.state, whole.state)
    plain = train(small_config(), tmp_path / "plain", Recorder())
    assert plain.test != whole.test


@pytest.mark.slow
def test_mixed_images_train_the_same_when_resumed_or_in_parts(
    tmp_path, small_config, recorder
):
    mixed = {"data__augment": "('flip', 'mixup(0.4)', 'cutmix')"}
    config = small_config(**mixed, checkpoint__every="4 steps")
    whole = train(config, tmp_path / "whole", Recorder())
    with pytest.raises(Interrupted):
        train(config, tmp_path / "run", StopAt(recorder, 6))
    assert_same(train(config, tmp_path / "run", recorder).state, whole.state)

    divided = small_config(**mixed, accumulate_steps="4", model__dropout="0.0")
    parts = train(divided, tmp_path / "parts", Recorder()).test
    undivided = small_config(**mixed, model__dropout="0.0")
    assert parts.loss == pytest.approx(
        train(undivided, tmp_path / "whole2", Recorder()).test.loss, rel=1e-3
    )
    with pytest.raises(ConfigError, match="mixes pairs of images, but each device"):
        train(small_config(**mixed, batch_size="63"), tmp_path / "odd", Recorder())
    with pytest.raises(ConfigError, match=r"'mixup\(1\)' before others"):
        make_experiment(small_config(data__augment="('mixup(1)', 'flip')"))


@pytest.mark.slow
def test_an_alternating_flip_is_the_same_when_resumed_or_in_parts(
    tmp_path, small_config, recorder
):
    """Over several epochs, whose ends lie within a batch."""
    flip = {"data__augment": "('alternating_flip',)", "batch_size": "420"}
    config = small_config(**flip, checkpoint__every="4 steps")
    whole = train(config, tmp_path / "whole", Recorder())
    with pytest.raises(Interrupted):
        train(config, tmp_path / "run", StopAt(recorder, 6))
    assert_same(train(config, tmp_path / "run", recorder).state, whole.state)

    undivided = small_config(**flip, model__dropout="0.0")
    divided = small_config(**flip, model__dropout="0.0", accumulate_steps="4")
    parts = train(divided, tmp_path / "parts", Recorder()).test
    assert parts.loss == pytest.approx(
        train(undivided, tmp_path / "whole2", Recorder()).test.loss, rel=1e-3
    )
    plain = train(small_config(batch_size="420"), tmp_path / "plain", Recorder())
    assert plain.test.loss != whole.test.loss


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data__flip": "true"}, "beside data.flip, which mirrors images at random"),
        (
            {"data__augment": "('alternating_flip', 'flip(0.2)')"},
            r"holds alternating_flip beside flip\(0.2\), which mirrors",
        ),
        (
            {"data__augment": "('cutout(2)', 'alternating_flip')"},
            "expected alternating_flip once, at the start",
        ),
        (
            {"data__augment": "('alternating_flip', 'alternating_flip')"},
            "expected alternating_flip once",
        ),
        (
            {"data__augment": "('alternating_flip(1)',)"},
            "has the wrong arguments",
        ),
    ],
)
def test_an_alternating_flip_that_cannot_alternate(small_config, changes, message):
    settings = {"data__augment": "('alternating_flip',)"} | changes
    with pytest.raises(ConfigError, match=message):
        make_experiment(small_config(**settings))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flp", "data.augment: unknown augmentation 'flp'; did you mean 'flip'?"),
        ("cutout(0)", "data.augment: in 'cutout(0)', size is 0, expected a whole"),
        ("none:none", "data.augment is 'none:none', but there is no module none"),
    ],
)
def test_mistakes_are_found_before_any_data_is_loaded(small_config, text, message):
    config = small_config(data__augment=text, data__source="npz:nowhere.npz")
    with pytest.raises(ConfigError) as caught:
        make_experiment(config)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "source", "message"),
    [
        ("cutout(2)", "glyphs1d", None),
        ("gray", "glyphs1d", None),
        (
            "rotate(9)",
            "glyphs1d",
            "but rotate needs images with 2 spatial axes",
        ),
        ("invert", "glyphs1d", "'invert', which needs pixels from 0 to 255, but the"),
        ("random_crop(8)", "digits", "padding is 8, expected less than the images'"),
        ("randaugment", "synthetic:8x8x2,3,64", "randaugment needs images with 1 chan"),
    ],
)
def test_augmentations_that_do_not_suit_the_data(small_config, text, source, message):
    config = small_config(data__augment=text, data__source=source, batch_size="16")
    if message is None:
        assert len(make_experiment(config).augmentations) == 1
        return
    with pytest.raises(ConfigError) as caught:
        make_experiment(config)
    assert message in str(caught.value)
    assert str(caught.value).startswith("data.augment holds")
