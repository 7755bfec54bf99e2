"""One step of training and one of evaluation: pure functions of a state and a batch."""
