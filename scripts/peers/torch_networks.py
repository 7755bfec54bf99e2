"""The networks in PyTorch."""

from torch import nn

from peers.networks import CLASSES, MOBILENET_STAGES, RESNET_STAGES, VGG_STAGES


def make_network(name: str, image) -> nn.Module:
    """The network called ``name`` for images ``(height, width, channels)``."""
    if name == "cnn":
        return _cnn(image)
    if name == "vgg11":
        return _vgg(image[-1])
    if name == "mobilenet_v2":
        return _mobilenet(image[-1])
    return _resnet(name, image[-1])


def _cnn(image):
    height, width, channels = image
    layers = []
    for features in (32, 64):
        conv = nn.Conv2d(channels, features, 3, padding=1)
        layers += [conv, nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        channels = features
    hidden = nn.Linear(channels * (height // 4) * (width // 4), 256)
    layers += [nn.Flatten(), hidden, nn.ReLU(inplace=True), nn.Linear(256, CLASSES)]
    return nn.Sequential(*layers)


def _vgg(channels):
    layers = []
    for widths in VGG_STAGES:
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, *_head(channels))


def _head(channels):
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)


def _conv(inputs, width, size, stride=1, groups=1):
    """A convolution and its batch normalization."""
    conv = nn.Conv2d(inputs, width, size, stride, size // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(width)]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs, width, stride):
        super().__init__()
        first = _conv(inputs, width, 3, stride)
        second = _conv(width, width, 3)
        self.body = nn.Sequential(*first, nn.ReLU(inplace=True), *second)
        same = stride == 1 and inputs == width
        self.shortcut = nn.Sequential(
            *([] if same else _conv(inputs, width, 1, stride))
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        """The sum of both ways, above zero."""
        return self.relu(self.body(x) + self.shortcut(x))


def _resnet(name, channels):
    blocks, widths = RESNET_STAGES[name]
    inputs = widths[0]
    if name == "resnet18":
        layers = [*_conv(channels, inputs, 7, 2), nn.ReLU(inplace=True)]
        layers.append(nn.MaxPool2d(3, 2, 1))
    else:
        layers = [*_conv(channels, inputs, 3), nn.ReLU(inplace=True)]
    for stage, (count, width) in enumerate(zip(blocks, widths, strict=True)):
        for number in range(count):
            stride = 2 if stage and not number else 1
            layers.append(BasicBlock(inputs, width, stride))
            inputs = width
    return nn.Sequential(*layers, *_head(inputs))


class InvertedResidual(nn.Module):
    """1x1, 3x3 of each channel, 1x1, and a shortcut where the shape stays."""

    def __init__(self, inputs, width, stride, expansion):
        super().__init__()
        middle, layers = inputs * expansion, []
        if expansion != 1:
            layers += [*_conv(inputs, middle, 1), nn.ReLU6(inplace=True)]
        layers += [*_conv(middle, middle, 3, stride, middle), nn.ReLU6(inplace=True)]
        self.body = nn.Sequential(*layers, *_conv(middle, width, 1))
        self.same = stride == 1 and inputs == width

    def forward(self, x):
        """The body, and what came in where that fits."""
        return x + self.body(x) if self.same else self.body(x)


def _mobilenet(channels):
    layers, inputs = [*_conv(channels, 32, 3), nn.ReLU6(inplace=True)], 32
    for expansion, width, blocks, stride in MOBILENET_STAGES:
        for number in range(blocks):
            first = 1 if number else stride
            layers.append(InvertedResidual(inputs, width, first, expansion))
            inputs = width
    layers += [*_conv(inputs, 1280, 1), nn.ReLU6(inplace=True)]
    return nn.Sequential(*layers, *_head(1280))
