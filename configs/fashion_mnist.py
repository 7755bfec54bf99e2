"""Fashion-MNIST, 60,000 images of 28x28 pixels."""

from cnnjax.config import Config, default_config


def get_config() -> Config:
    """The changes to the default settings."""
    config = default_config()
    config.data.source = "idx:/usr/share/datasets/fashion-mnist"
    config.data.crop_padding = 1
    config.data.flip = True
    config.model.name = "small_cnn"
    config.model.dropout = 0.1
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 3e-3
    config.optimizer.weight_decay = 2e-2
    config.schedule.warmup = "5%"
    config.batch_size = 128
    config.duration = "12 epochs"
    config.log_every = "100 steps"
    return config
