"""A run in its working directory: the loop, checkpoints, progress and evaluation."""
