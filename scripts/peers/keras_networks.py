"""The networks in Keras.

With stride 2, ``same`` padding puts the odd zero after the image, whereas the other
frameworks pad both sides equally. The shapes and the work are the same.
"""

import keras
from keras import layers

from peers.networks import CLASSES, MOBILENET_STAGES, RESNET_STAGES, VGG_STAGES


def make_network(name: str, image) -> keras.Model:
    """The network called ``name`` for images ``(height, width, channels)``."""
    x = inputs = keras.Input(tuple(image))
    if name == "cnn":
        y = _cnn(x)
    elif name == "vgg11":
        y = _vgg(x)
    elif name == "mobilenet_v2":
        y = _mobilenet(x)
    else:
        y = _resnet(name, x)
    return keras.Model(inputs, layers.Dense(CLASSES)(y))


def _cnn(x):
    for width in (32, 64):
        x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    return layers.Dense(256, activation="relu")(layers.Flatten()(x))


def _vgg(x):
    for widths in VGG_STAGES:
        for width in widths:
            x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    return layers.GlobalAveragePooling2D()(x)


def _norm(x):
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def _conv(x, width, size, stride=1):
    return _norm(layers.Conv2D(width, size, stride, "same", use_bias=False)(x))


def _block(x, width, stride):
    y = layers.ReLU()(_conv(x, width, 3, stride))
    y = _conv(y, width, 3)
    if stride != 1 or x.shape[-1] != width:
        x = _conv(x, width, 1, stride)
    return layers.ReLU()(layers.Add()([y, x]))


def _resnet(name, x):
    blocks, widths = RESNET_STAGES[name]
    if name == "resnet18":
        x = layers.ReLU()(_conv(x, widths[0], 7, 2))
        x = layers.MaxPooling2D(3, 2, "same")(x)
    else:
        x = layers.ReLU()(_conv(x, widths[0], 3))
    for stage, (count, width) in enumerate(zip(blocks, widths, strict=True)):
        for number in range(count):
            x = _block(x, width, 2 if stage and not number else 1)
    return layers.GlobalAveragePooling2D()(x)


def _inverted(x, width, stride, expansion):
    y = x
    if expansion != 1:
        y = layers.ReLU(6)(_conv(y, x.shape[-1] * expansion, 1))
    y = layers.DepthwiseConv2D(3, stride, "same", use_bias=False)(y)
    y = _conv(layers.ReLU(6)(_norm(y)), width, 1)
    same = stride == 1 and x.shape[-1] == width
    return layers.Add()([x, y]) if same else y


def _mobilenet(x):
    x = layers.ReLU(6)(_conv(x, 32, 3))
    for expansion, width, blocks, stride in MOBILENET_STAGES:
        for number in range(blocks):
            x = _inverted(x, width, 1 if number else stride, expansion)
    return layers.GlobalAveragePooling2D()(layers.ReLU(6)(_conv(x, 1280, 1)))
