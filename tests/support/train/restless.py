"""Settings with which early stopping soon ends a run."""

# A rate this high soon brings no further gain.
RESTLESS = {
    "optimizer__learning_rate": "0.1",
    "schedule__warmup": "0 steps",
    "schedule__name": "constant",
    "eval_every": "3 steps",
    "duration": "300 steps",
    "early_stopping__patience": "4",
}
