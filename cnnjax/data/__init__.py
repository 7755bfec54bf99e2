"""From files to batches: sources, splits, normalization, batches, augmentation.

``load_dataset`` reads any source into memory, or leaves its images on disk.
``make_dataset`` builds the same from your own arrays or ``StreamedImages``. To give
your own source a name, add it to ``SOURCES`` (and to ``STREAMS``, if it can stream).
Importing this module is fast.
"""

import importlib
from typing import TYPE_CHECKING, Any

from cnnjax.data.batches import (
    Batch,
    Part,
    TrainBatches,
    eval_batches,
    train_batches,
    train_indices,
)
from cnnjax.data.dataset import Dataset, RawDataset, Split, make_dataset
from cnnjax.data.encoded_images import EncodedImages
from cnnjax.data.sources import SOURCES, STREAMS, load_dataset
from cnnjax.data.stream import StreamedImages

if TYPE_CHECKING:
    from cnnjax.data.augmentation import augment, augment_each, random_crop, random_flip
    from cnnjax.data.normalization import (
        Normalization,
        measure,
        normalize,
        read_normalization,
        write_normalization,
    )

__all__ = [
    "SOURCES",
    "STREAMS",
    "Batch",
    "Dataset",
    "EncodedImages",
    "Normalization",
    "Part",
    "RawDataset",
    "Split",
    "StreamedImages",
    "TrainBatches",
    "augment",
    "augment_each",
    "eval_batches",
    "load_dataset",
    "make_dataset",
    "measure",
    "normalize",
    "random_crop",
    "random_flip",
    "read_normalization",
    "train_batches",
    "train_indices",
    "write_normalization",
]

# These need JAX, which takes half a second to import.
_MODULES = {
    "Normalization": "normalization",
    "augment": "augmentation",
    "augment_each": "augmentation",
    "measure": "normalization",
    "normalize": "normalization",
    "random_crop": "augmentation",
    "random_flip": "augmentation",
    "read_normalization": "normalization",
    "write_normalization": "normalization",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
