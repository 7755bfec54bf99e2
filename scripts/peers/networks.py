"""The networks to compare, which each framework's file builds.

Batch normalization has momentum 0.9 and epsilon 1e-5; a layer before it has no bias.
"""

from typing import NamedTuple

CLASSES = 10
LEARNING_RATE, MOMENTUM = 0.01, 0.9


class Network(NamedTuple):
    """Shape ``(height, width, channels)`` of the images, and images per step."""

    image: tuple
    batch: int


NETWORKS = {
    # conv 32 - ReLU - max-pool - conv 64 - ReLU - max-pool - dense 256 - ReLU - dense
    "cnn": Network((28, 28, 1), 128),
    # He et al. 2015 for small images, 1x1 convolutions in the shortcuts
    "resnet20": Network((32, 32, 3), 128),
    # eight convolutions, no batch normalization, the mean, one dense layer
    "vgg11": Network((32, 32, 3), 128),
    # as for ImageNet: a 7x7 convolution and max-pooling first
    "resnet18": Network((64, 64, 3), 32),
    # for small images: the first convolution and the second stage have stride 1
    "mobilenet_v2": Network((32, 32, 3), 64),
}

VGG_STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))
# expansion, width, blocks, stride
MOBILENET_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
RESNET_STAGES = {
    "resnet20": ((3, 3, 3), (16, 32, 64)),
    "resnet18": ((2, 2, 2, 2), (64, 128, 256, 512)),
}
