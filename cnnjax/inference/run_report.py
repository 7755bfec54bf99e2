"""Reports of runs: their facts, read from their folders, as one HTML file."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from cnnjax.errors import ConfigError, show
from cnnjax.files import check_folder_of, expand_path, write_whole
from cnnjax.inference.run_facts import facts_at_end, read_facts
from cnnjax.report.html import make_page
from cnnjax.report.reporters import HTML
from cnnjax.train.run.loop import Result
from cnnjax.train.run.workdir import Origin, find_run

NAME = "report.html"
MOST_RUNS = 20


def write_report(
    workdirs: str | os.PathLike | Sequence[str | os.PathLike],
    out: str | os.PathLike | None = None,
) -> Path:
    """Writes a report of one run, or of several side by side, as one HTML file.

    The test split is evaluated once for each run. Where that is impossible, because the
    data is gone for example, the report has no predictions and no pictures, and says
    why.

    Args:
        workdirs: the working directory of a run, or one of its checkpoints; or several.
        out: the file to write; by default ``report.html``, in the working directory of
            the run, or for several runs in the current folder.

    Returns:
        The file.

    Raises:
        ConfigError: no run in one of the folders, damaged files, or a folder of ``out``
            that does not exist.
        OSError: the file cannot be written.

    Example::

        >>> import cnnjax
        >>> run = cnnjax.train(
        ...     {"duration": "1 epoch", "model.widths": (8, 8)},
        ...     data="digits",
        ...     progress="none",
        ... )
        >>> cnnjax.write_report(run.workdir).name
        'report.html'
    """
    names = [workdirs] if isinstance(workdirs, str | os.PathLike) else [*workdirs]
    if not 1 <= len(names) <= MOST_RUNS:
        raise ConfigError(
            f"there are {len(names)} runs to report, expected 1 to {MOST_RUNS}"
        )
    origins = [find_run(os.fspath(name), "RUN") for name in names]
    if out is None:
        out = origins[0].folder / NAME if len(origins) == 1 else Path(NAME)
    out = expand_path(os.fspath(out), "--out")
    check_folder_of(out)
    titles = _titles(origins)
    is_alone = len(origins) == 1
    runs = [
        read_facts(origin, title, looks_inside=is_alone)
        for origin, title in zip(origins, titles, strict=True)
    ]
    write_whole(out, make_page(runs))
    return out


def report_at_end(result: Result, tell: Callable[[str], None]) -> Path | None:
    """Writes the report of a run that has just finished, if its settings name one.

    All processes of the run must call this. A report that fails does not fail the run.

    Args:
        result: of the run.
        tell: takes a sentence about a report that could not be written.

    Returns:
        The file; ``None`` if there is none, and in processes other than the first.
    """
    if HTML not in result.run.config.report:
        return None
    folder = result.run.hold.workdir
    try:
        facts = facts_at_end(result)
        if facts is None:
            return None
        write_whole(folder / NAME, make_page([facts]))
    except Exception as error:  # the run itself is finished and saved
        tell(f"warning: no {folder / NAME}: {error or type(error).__name__}")
        return None
    return folder / NAME


def _titles(origins: Sequence[Origin]) -> list[str]:
    """A name for each run: that of its folder, or its path if names repeat."""
    ends = ["" if step is None else f" step {step}" for _, step in origins]
    paths = [f"{o.folder}{end}" for o, end in zip(origins, ends, strict=True)]
    names = [
        f"{o.folder.absolute().name}{end}" for o, end in zip(origins, ends, strict=True)
    ]
    titles = names if len({*names}) == len(names) else paths
    if len({*titles}) < len(titles):
        raise ConfigError(f"a run is named twice: {show(paths)}; name each once")
    return titles
