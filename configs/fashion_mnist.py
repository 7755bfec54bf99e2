"""Fashion-MNIST: 60,000 images of clothing, 28x28 pixels, ten classes.

    cnnjax train --config=configs/fashion_mnist.py

Two convolutions and two dense layers with 94,354 parameters. Test accuracy on 10,000
images is 92.26 %, after 8 minutes on 2 cores of a Xeon with AVX-512 (n = 1, seed 0; the
machine was also running other work). Debian's package ``dataset-fashion-mnist``
installs the files.
"""

from cnnjax.config import Config, default_config


def get_config() -> Config:
    """Changes the default settings."""
    config = default_config()
    config.data.source = "idx:/usr/share/datasets/fashion-mnist"
    config.data.flip = True
    config.model.name = "small_cnn"
    config.model.dropout = 0.25
    config.loss.label_smoothing = 0.1
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 3e-3
    config.optimizer.weight_decay = 5e-2
    config.schedule.warmup = "5%"
    config.batch_size = 128
    config.duration = "15 epochs"
    config.log_every = "100 steps"
    return config
