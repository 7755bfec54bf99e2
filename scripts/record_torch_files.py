#!/usr/bin/env python3
"""Writes the small PyTorch files that the tests read; needs PyTorch.

python scripts/record_torch_files.py tests/weights/files
"""

import sys
from collections import OrderedDict
from pathlib import Path

import torch


def tensors() -> OrderedDict:
    """One tensor of each kind that a state dict may hold."""
    shared = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    return OrderedDict(
        float=shared,
        transposed=shared.permute(2, 0, 1),
        part=shared[1, 1:, ::2],
        parameter=torch.nn.Parameter(torch.tensor([1.5, -2.0])),
        half=torch.tensor([0.5, 65504.0], dtype=torch.float16),
        bfloat=torch.tensor([1.0, -3.0e38], dtype=torch.bfloat16),
        double=torch.tensor([[1e-300]], dtype=torch.float64),
        count=torch.tensor(2**40),
        flags=torch.tensor([True, False]),
        bytes=torch.tensor([0, 255], dtype=torch.uint8),
        complex=torch.tensor([1 + 2j]),
        empty=torch.zeros(0, 5),
    )


def main(folder: Path) -> None:
    """Writes each file in both formats."""
    checkpoint = {
        "epoch": 3,
        "best": 0.5,
        "state_dict": {"module.weight": torch.zeros(2)},
        "state_dict_ema": {"module.weight": torch.ones(2)},
        "optimizer": {"state": {0: {"step": torch.tensor(7.0)}}, "lr": [0.1, None]},
    }
    values = {"tensors": tensors(), "checkpoint": checkpoint}
    for name, value in values.items():
        torch.save(value, folder / f"{name}.pth")
        torch.save(
            value, folder / f"{name}_legacy.pth", _use_new_zipfile_serialization=False
        )
    torch.save({"x": torch.arange(3.0)}, folder / "protocol4.pth", pickle_protocol=4)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
