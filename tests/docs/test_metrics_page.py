"""The page on metrics names each of them, with its direction."""

import re
from pathlib import Path

from cnnjax.metrics import METRICS, find_metric

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(\w+)` \| .* \| (lower|higher) \|$", re.MULTILINE)


def test_the_table_has_every_metric_and_its_direction():
    found = dict(ROW.findall(PAGE.read_text()))
    assert found.keys() == {"loss", "accuracy", "top5", *METRICS}
    for name in ("top5", *METRICS):
        is_higher = find_metric(name).higher_is_better
        assert found[name] == ("higher" if is_higher else "lower")
