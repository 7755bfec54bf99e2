"""What an import of the folder loads."""

import subprocess
import sys

import pytest

import cnnjax.data

HEAVY = "jax", "cloudpickle", "sklearn", "tensorflow_datasets", "tensorflow", "PIL"


def printed(code):
    """What a process of its own prints."""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


def test_import_is_light():
    code = f"import cnnjax.data, sys; print([m for m in {HEAVY} if m in sys.modules])"
    assert printed(code) == "[]"


def test_digits_are_read_without_scikit_learn_s_import():
    code = (
        "import sys; from cnnjax.data.sources.digits import load_digits; load_digits();"
        " print('sklearn' in sys.modules)"
    )
    assert printed(code) == "False"


def test_every_public_name_is_there():
    assert all(hasattr(cnnjax.data, name) for name in cnnjax.data.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = cnnjax.data.nonsense
