"""One of two processes, each given something else in turn: prints what each is told.

python what_processes_have.py CONFIG FOLDER --coordinator=... --num_processes=2 ...
"""

import argparse
import json
from pathlib import Path

import numpy as np

from cnnjax.config.files import load_config
from cnnjax.data import Dataset, Normalization, Split
from cnnjax.errors import ConfigError
from cnnjax.train.machine import processes, shutdown
from cnnjax.train.machine.agreement import check_same, check_shared
from cnnjax.train.machine.launch import Launch
from cnnjax.train.run import data_identity

NORMALIZATION = Normalization(np.zeros(1, np.float32), np.ones(1, np.float32))


def make_data(count=8, pixel=0, label=0):
    images = np.zeros((count, 4, 4, 1), np.uint8)
    images[1, 2, 3] = pixel
    split = Split(images, np.full(count, label, np.int32))
    return Dataset(split, split, split, 2)


def check(config, words=None, resume="auto", **data):
    """The refusal, where process 1 has other settings or data than process 0."""
    config = load_config(config, words)
    identity = data_identity.describe(make_data(**data))
    return told(check_same, config, identity, NORMALIZATION, resume, "cpu")


def told(function, *arguments):
    try:
        function(*arguments)
    except ConfigError as error:
        return str(error)
    return ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--coordinator")
    parser.add_argument("--num_processes", type=int)
    parser.add_argument("--process_id", type=int)
    args = parser.parse_args()
    processes.join(Launch(args.coordinator, args.num_processes, args.process_id))
    with shutdown.leave_together():
        odd = args.process_id == 1
        cases = {
            "learning rate": {"words": {"optimizer.learning_rate": "0.5"}},
            "duration": {"words": {"duration": "7 steps"}},
            "seed and data": {"words": {"seed": "3"}, "label": 1},
            "cache": {"words": {"compilation_cache": "elsewhere"}},
            "resume": {"resume": "never"},
            "pixel": {"pixel": 1},
            "label": {"label": 1},
            "size": {"count": 9},
        }
        found = {
            name: check(args.config, **(changes if odd else {}))
            for name, changes in cases.items()
        }
        other = args.folder / str(args.process_id)
        other.mkdir()
        found["shared"] = told(check_shared, args.folder)
        found["not shared"] = told(check_shared, other)
        found["left behind"] = [path.name for path in other.iterdir()]
        (args.folder / f"{args.process_id}.json").write_text(json.dumps(found))


main()
