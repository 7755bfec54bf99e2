"""Files of weights in repositories of the Hugging Face hub: ``hf:OWNER/NAME``."""

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from cnnjax.errors import WeightsError

PREFIX = "hf:"
FILES = ("model.safetensors", "pytorch_model.bin")
"""The files that are looked for, one after the other, if none is named."""

_REFERENCE = re.compile(
    r"hf:(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^\s:@]+))?(?::(?P<file>[^\s:]+))?",
    re.ASCII,
)


class HubFile(NamedTuple):
    """A file of a repository, on this machine.

    Attributes:
        path: its copy in the cache of huggingface_hub.
        source: the reference to exactly this file, with the hash of the commit.
    """

    path: Path
    source: str


def is_on_hub(text: str | Path) -> bool:
    """Whether a text refers to a file of the hub."""
    return str(text).startswith(PREFIX)


def download(reference: str) -> HubFile:
    """Downloads a file of a repository, unless it is in the cache already.

    Without a connection, what was downloaded earlier for the same revision is taken.

    Args:
        reference: ``"hf:OWNER/NAME"``, with ``@REVISION`` for a branch, a tag or a
            commit other than the newest, and with ``:FILE`` for a file other than
            those of ``FILES``.

    Raises:
        WeightsError: another form, huggingface_hub is not installed, or there is no
            such file or no connection.

    Example::

        >>> from cnnjax.weights.hub import download
        >>> from cnnjax.weights import read_weights
        >>> file = download("hf:OWNER/NAME@main")  # doctest: +SKIP
        >>> arrays = read_weights(file.path)  # doctest: +SKIP
    """
    found = _REFERENCE.fullmatch(reference)
    if not found:
        raise WeightsError(
            f"{reference!r} is not a file on the hub, expected hf:OWNER/NAME,"
            " hf:OWNER/NAME@REVISION or hf:OWNER/NAME@REVISION:FILE"
        )
    try:
        import huggingface_hub  # noqa: F401
    except ImportError as error:
        raise WeightsError(
            f"{reference} needs the package huggingface_hub: pip install 'cnnjax[hub]'"
        ) from error
    files = (found["file"],) if found["file"] else FILES
    for file in files:
        path = _fetch(reference, found["repo"], found["revision"], file)
        if path is not None:
            # .../snapshots/COMMIT/FILE
            commit = path.parents[file.count("/")].name
            return HubFile(path, f"{PREFIX}{found['repo']}@{commit}:{file}")
    raise WeightsError(
        f"{reference} cannot be used: the repository has no {' or '.join(files)}; name"
        " one of its files, as in hf:OWNER/NAME:FILE"
    )


def _fetch(reference: str, repo: str, revision: str | None, file: str) -> Path | None:
    """The local copy of a file; ``None`` if the repository does not have it."""
    from huggingface_hub import errors, hf_hub_download

    try:
        # huggingface_hub itself reads the variable when it is imported.
        endpoint = os.environ.get("HF_ENDPOINT") or None
        return Path(hf_hub_download(repo, file, revision=revision, endpoint=endpoint))
    except errors.GatedRepoError as error:
        reason, cause = (
            "its owner gives access on request: ask for it on the page of the"
            " repository, and log in with `hf auth login`",
            error,
        )
    except errors.RepositoryNotFoundError as error:
        reason, cause = (
            "the hub has no such repository, or a private one; for a private one, log"
            " in with `hf auth login`",
            error,
        )
    except errors.RevisionNotFoundError as error:
        reason, cause = f"the repository has no revision {revision}", error
    except errors.LocalEntryNotFoundError as error:
        why = error.__cause__ or error
        reason, cause = (
            f"the hub did not answer as expected ({_first_line(why)}), and {file} has"
            " not been downloaded before; try again later, or download it elsewhere and"
            " give its path as safetensors:FILE or torch:FILE",
            error,
        )
    except errors.EntryNotFoundError:
        return None
    except Exception as error:  # its HTTP client has errors of its own
        reason, cause = _first_line(error), error
    raise WeightsError(f"{reference} cannot be used: {reason}") from cause


def _first_line(error: Any) -> str:
    text = str(error).strip().partition("\n")[0].rstrip(".")
    return text or type(error).__name__
