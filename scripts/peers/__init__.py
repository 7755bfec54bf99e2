"""The parts of ``scripts/benchmark_peers.py``: one network in many frameworks."""
