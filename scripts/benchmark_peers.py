#!/usr/bin/env python3
"""Times the same network in cnnjax, stock Flax, PyTorch and Keras, side by side.

    scripts/benchmark_peers.py --networks=cnn,resnet20

Run it in an environment that has cnnjax; it creates one for each of the other
frameworks in ``.peers``. docs/benchmarks.md explains what is measured, and has results.
"""

import sys

from peers.command import main

if __name__ == "__main__":
    sys.exit(main())
