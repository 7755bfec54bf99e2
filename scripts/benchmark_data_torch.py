"""Times torchvision's ImageFolder with PyTorch's DataLoader, one epoch per line read.

``scripts/benchmark_data.py --torch-python=PATH`` runs it with a Python that has both,
and asks for epochs in turn with its own.
"""

import sys
import time

import torch  # type: ignore[import-not-found]
from torchvision import datasets, transforms  # type: ignore[import-not-found]

folder, size, batch, workers = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(1)
loader = torch.utils.data.DataLoader(
    datasets.ImageFolder(
        folder,
        transforms.Compose(
            [
                transforms.Resize(size),
                transforms.CenterCrop(size),
                transforms.PILToTensor(),
            ]
        ),
    ),
    batch,
    shuffle=True,
    num_workers=workers,
    drop_last=True,
    persistent_workers=workers > 0,
)
for _ in sys.stdin:
    start = time.perf_counter()
    images = sum(len(labels) for _, labels in loader)
    print(images / (time.perf_counter() - start), flush=True)
