"""MNIST from TensorFlow Datasets, read from ArrayRecord files without TensorFlow.

    cnnjax train --config=configs/mnist_tfds.py

Prepare the data set once, on any machine with TensorFlow (which TFDS's MNIST builder
needs): ``tfds build mnist --file_format=array_record``. cnnjax looks for it in
``$TFDS_DATA_DIR``, by default ``~/tensorflow_datasets``. To use another folder, pass
``--config.data.source=tfds:mnist@FOLDER``.
"""

from cnnjax.config import Config, default_config


def get_config() -> Config:
    """Changes the default settings."""
    config = default_config()
    config.data.source = "tfds:mnist"
    config.data.crop_padding = 2
    config.model.name = "lenet5"
    config.model.activation = "relu"
    config.optimizer.name = "sgd"
    config.optimizer.learning_rate = 0.05
    config.optimizer.momentum = 0.9
    config.optimizer.nesterov = True
    config.optimizer.weight_decay = 5e-4
    config.optimizer.decay_mode = "l2"
    config.schedule.warmup = "1 epoch"
    config.batch_size = 128
    config.duration = "10 epochs"
    return config
