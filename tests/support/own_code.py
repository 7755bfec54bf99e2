"""The modules of ``docs/own_code.md``, written beside a config."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "own_code.md"
BLOCK = re.compile(r"```python\n# (\w+\.py)\n(.*?)```", re.DOTALL)


def write_project(folder: Path) -> Path:
    """Writes what the page shows; the config of it."""
    folder.mkdir()
    for name, text in BLOCK.findall(PAGE.read_text()):
        with (folder / name).open("a") as file:
            file.write(text)
    return folder / "my_config.py"
