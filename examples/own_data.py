"""Trains on arrays of your own: pictures of the letters A to E, drawn with Pillow.

python examples/own_data.py
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import cnnjax
from cnnjax.data import RawDataset, Split

SETTINGS = {
    "model.widths": (16, 32),
    "model.dense": (64,),
    "optimizer.name": "adam",
    "optimizer.learning_rate": 3e-3,
    "batch_size": 32,
    "duration": "8 epochs",
}


def draw(letter: str, random: np.random.Generator) -> np.ndarray:
    """One gray image (24, 24, 1) of a letter, of random size and place, with noise."""
    image = Image.new("L", (24, 24))
    font = ImageFont.load_default(size=random.integers(14, 20))
    place = random.integers(1, 7), random.integers(-2, 5)
    ImageDraw.Draw(image).text(tuple(map(int, place)), letter, fill=255, font=font)
    noisy = np.asarray(image, np.float32) + random.normal(0, 40, image.size)
    return noisy.clip(0, 255).astype(np.uint8)[..., None]


def make_split(letters: str, per_class: int, seed: int) -> Split:
    """Images and their class numbers."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(letters)), per_class)
    return Split(np.stack([draw(letters[label], random) for label in labels]), labels)


def main() -> None:
    """Trains, and looks at three predictions."""
    # cnnjax holds out examples of each class for validation and test.
    data = RawDataset(make_split("ABCDE", 150, seed=0), class_names=tuple("ABCDE"))
    run = cnnjax.train(SETTINGS, data=data)
    print(f"test accuracy {run.test.accuracy:.0%}")
    random = np.random.default_rng(1)
    for letter in "ACE":
        found = run.predict(draw(letter, random))
        print(f"{letter} -> {found.name} ({found.probability:.0%})")


if __name__ == "__main__":
    main()
