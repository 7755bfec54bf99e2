"""Training runs: state, step, loop, evaluation and checkpoints."""
