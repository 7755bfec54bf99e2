"""Protection against untrusted folders of TensorFlow Datasets.

TFDS trusts the folders that it reads: it imports any module that ``features.json``
names, downloads and runs the code of community data sets by name, and blocks on named
pipes. This module prevents all of that.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnnjax.errors import DataError, NotRegularError
from cnnjax.files import check_regular
from cnnjax.json_file import read_json

OWN_FEATURES = "tensorflow_datasets.core.features."
_NUMBER = r"(\d+|\*)"
_VERSION = rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}|experimental_latest"
_NAME = re.compile(rf"\w+(/[\w.-]+)?(:({_VERSION}))?", re.ASCII)


def check_name(name: str) -> None:
    """Rejects names that would make TFDS load code other than its own.

    Those are namespaces, such as ``huggingface:mnist``, and builder arguments, such as
    ``mnist/version=1.0.0``.

    Raises:
      DataError: if the name has another form.
    """
    if not _NAME.fullmatch(name):
        raise DataError(
            f"tfds name is {name!r}, expected a name with an optional configuration and"
            " version, such as cifar10, mnist:3.0.1 or wiki/en:1.0.0"
        )


def check_folder(name: str, data_dir: str | None) -> None:
    """Rejects a folder of prepared data that could do harm or make TFDS hang.

    Args:
      name: the data set; already checked.
      data_dir: the folder that TFDS will use; None for its default.

    Raises:
      DataError: if a file is not a regular file, JSON is damaged, or the path has
        characters that messages and libraries cannot handle.
    """
    if data_dir is None:
        data_dir = os.environ.get("TFDS_DATA_DIR") or os.path.expanduser(
            "~/tensorflow_datasets"
        )
    if not data_dir.isprintable():
        raise DataError(
            f"tfds folder is {data_dir!r}, expected a UTF-8 path without control"
            " characters: rename the folder"
        )
    from tensorflow_datasets.core.naming import camelcase_to_snakecase

    own_folder = camelcase_to_snakecase(re.split("[/:]", name)[0])
    seen = set()  # symbolic links may form cycles
    for folder, folders, names in os.walk(Path(data_dir, own_folder), followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        for path in (Path(folder) / file for file in names):
            _check_file(path)


def _check_file(path: Path) -> None:
    try:
        check_regular(path)
        if path.suffix == ".json":
            read_json(path, follow_links=True)
    except FileNotFoundError:  # a dangling symbolic link
        return
    except NotRegularError as error:
        raise DataError(f"{error}: download the data set again") from error
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({error}): download the data set again"
        ) from error


@contextlib.contextmanager
def own_features_only() -> Iterator[None]:
    """A context in which TFDS only makes features of its own classes, without imports.

    Class names come from ``features.json`` and ``dataset_info.json``, in several
    notations and possibly nested; TFDS resolves all of them in ``cls_from_name``.

    Raises:
      DataError: inside the context, if TFDS encounters the name of another class.
    """
    from tensorflow_datasets.core import features

    base: Any = features.FeatureConnector
    original = base.__dict__["cls_from_name"]
    own = _own_classes(base)

    def cls_from_name(cls: type, python_class_name: str) -> Any:
        if python_class_name not in own:
            raise DataError(
                f"the data set has a feature of class {python_class_name!r}, expected"
                " one of TFDS's own: code that a data set names is never imported;"
                " prepare it with features from tensorflow_datasets.features"
            )
        return own[python_class_name]

    base.cls_from_name = classmethod(cls_from_name)
    try:
        yield
    finally:
        base.cls_from_name = original


def _own_classes(base: type) -> dict[str, type]:
    """All feature classes that TFDS itself defines, by their full names."""
    found, left = {}, [base]
    while left:
        kind = left.pop()
        left.extend(kind.__subclasses__())
        if kind.__module__.startswith(OWN_FEATURES):
            names = [f"{kind.__module__}.{kind.__name__}"]
            names += kind.__dict__.get("ALIASES", [])  # former locations of the class
            found |= dict.fromkeys(names, kind)
    return found
