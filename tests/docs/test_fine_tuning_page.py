"""docs/fine_tuning.md: its settings, its patterns, and the factors that it quotes."""

import re
from pathlib import Path

import pytest

from cnnjax.config.defaults import default_config, validate
from cnnjax.models import make_model
from cnnjax.models.layer_groups import decay_factors, layer_groups
from cnnjax.train.run.freezing import check_freezing

PAGE = (Path(__file__).parents[2] / "docs" / "fine_tuning.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_there_are_examples():
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("example", EXAMPLES)
def test_settings_of_the_examples_are_valid(example):
    model = make_model("efficientnet_lite0", num_classes=10)
    groups = layer_groups(model, (64, 64, 1))
    named = {name: 0 for group in groups for name in group.arrays}
    moments = {"MBConv_3.BatchNorm_1.mean": 0, "MBConv_3.BatchNorm_1.var": 0}
    config = default_config()
    for line in example.splitlines():
        exec(line, {"config": config})
        validate(config)
        check_freezing(config, {"params": named, "batch_stats": moments})


def test_the_factors_are_those_of_the_network():
    groups = layer_groups(make_model("simple_cnn", num_classes=10), (32, 32, 1))
    for factor, group in zip(decay_factors(0.75, len(groups)), groups, strict=True):
        assert f"  {factor:<9.3g}{', '.join(group.layers)}\n" in PAGE
