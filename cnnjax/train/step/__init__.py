"""A training step and an evaluation step: pure functions of a state and a batch."""
