"""Trains on the letters A to P, then on ten pictures of each of Q to Z.

A network that starts with the convolutions of the first beats one from scratch.

python examples/fine_tune.py
"""

import tempfile
from pathlib import Path

from own_data import SETTINGS, make_split

import cnnjax
from cnnjax.data import RawDataset


def main() -> None:
    """Compares the two on 500 test images."""
    folder = Path(tempfile.mkdtemp())
    many = RawDataset(make_split("ABCDEFGHIJKLMNOP", 100, seed=0))
    cnnjax.train(SETTINGS, data=many, workdir=folder / "many")

    few = RawDataset(
        train=make_split("QRSTUVWXYZ", 10, seed=1),
        validation=make_split("QRSTUVWXYZ", 20, seed=2),
        test=make_split("QRSTUVWXYZ", 50, seed=3),
    )
    short = SETTINGS | {"duration": "60 steps", "eval_every": "60 steps"}
    scratch = cnnjax.train(short, data=few, workdir=folder / "scratch")
    tuned = cnnjax.train(
        # Take the arrays whose names match; the dense layers start at random.
        short | {"init_from": str(folder / "many"), "init_load": "Conv.*"},
        data=few,
        workdir=folder / "tuned",
    )
    print(f"from scratch: test accuracy {scratch.test.accuracy:.0%}")
    print(f"fine-tuned: test accuracy {tuned.test.accuracy:.0%}")


if __name__ == "__main__":
    main()
