"""One network in many frameworks, timed side by side: ``scripts/benchmark_peers.py``."""
