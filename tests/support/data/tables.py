"""Loads small tables of pictures, and adds files to archives."""

import io
import tarfile

from cnnjax.data import load_dataset
from cnnjax.data.image_files import FileSettings

FILES = FileSettings(size=(12, 16), workers=2)
FRACTIONS = {"validation_fraction": 0.2, "test_fraction": 0.2, "seed": 0}


def load(source, streaming=False, files=FILES):
    return load_dataset(source, **FRACTIONS, streaming=streaming, files=files)


def add(tar, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))
