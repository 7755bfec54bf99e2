"""A run where JAX refuses arithmetic between arrays of different ranks."""

import jax
import pytest

from cnnjax.train.run.loop import train
from tests.support.train.faults import assert_same


@pytest.fixture
def one_rank():
    """The setting as a user makes it, for all that follows in the process."""
    before = jax.config.jax_numpy_rank_promotion
    jax.config.update("jax_numpy_rank_promotion", "raise")
    yield
    jax.config.update("jax_numpy_rank_promotion", before)


@pytest.mark.slow
def test_two_steps_end_as_without_the_setting(
    small_config, recorder, tmp_path, request
):
    config = small_config(
        model__name="small_cnn", duration="2 steps", eval_every="1 step"
    )
    expected = train(config, tmp_path / "allowed", recorder).state
    request.getfixturevalue("one_rank")
    with pytest.raises(ValueError, match="rank"):
        jax.numpy.ones(2) + jax.numpy.ones((2, 2))
    assert_same(train(config, tmp_path / "refused", recorder).state, expected)
