"""Scikit-learn's 1,797 handwritten digits of 8x8 pixels.

    cnnjax train --config=configs/digits.py

Holds out a fifth of the images (359) for testing. Test accuracy is 99.26 % on average
over seeds 0 to 5, which also change the split (98.9 to 99.7 %). Training takes 6
seconds on 2 cores of a Xeon.
"""

from cnnjax.config import Config, default_config


def get_config() -> Config:
    """Changes the default settings."""
    config = default_config()
    config.data.source = "digits"
    config.model.name = "simple_cnn"
    config.model.widths = (64, 128)
    config.model.dense = (128,)
    config.model.dropout = 0.5
    config.model.kernel_init = "lecun_normal"
    config.loss.label_smoothing = 0.1
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.weight_decay = 0.1
    config.schedule.warmup = "5%"
    config.batch_size = 64
    config.duration = "40 epochs"
    return config
