#!/usr/bin/env python3
"""Times the same network in cnnjax, stock Flax, PyTorch and Keras, side by side.

    scripts/benchmark_peers.py --networks=cnn,resnet20

Runs in an environment that has cnnjax, and makes one for each other framework in
``.peers``.
What is measured, and results: docs/benchmarks.md.
"""

import sys

from peers.command import main

if __name__ == "__main__":
    sys.exit(main())
