#!/usr/bin/env python3
"""Draws a sheet of every augmentation on a photograph, or times them.

    python scripts/draw_augmentations.py docs/images/augmentations.png
    python scripts/draw_augmentations.py --time

The photograph is scikit-learn's ``china.jpg``.
"""

import argparse
import time

import jax
import numpy as np
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image

from cnnjax.benchmark.steps import make_problem
from cnnjax.config.files import check_config
from cnnjax.data import Normalization, augment_each, measure, normalize, train_batches
from cnnjax.data.alternating_flip import flip_alternately
from cnnjax.data.augmentation import make_augmentation
from cnnjax.train.machine.compile import lower_step

ALTERNATING = "alternating_flip"
TEXTS = (
    "random_crop(16)",
    "random_crop(16, reflect)",
    "flip",
    ALTERNATING,
    "vertical_flip",
    "translate(12)",
    "rotate(30)",
    "affine(15, 0.1, (0.7, 1.3), 10)",
    "resized_crop",
    "color_jitter(0.4, 0.4, 0.4)",
    "color_jitter(0, hue=0.5)",
    "gray(0.5)",
    "blur(9, (0.5, 3))",
    "sharpness(4)",
    "invert",
    "solarize(0.5)",
    "posterize(2)",
    "autocontrast",
    "equalize",
    "erase(0.75)",
    "cutout(32)",
    "randaugment(2, 9)",
    "trivialaugment",
)
RECIPE = ("random_crop(4)", "flip", "randaugment(2, 9)", "erase(0.25)")
HEIGHT, WIDTH, COPIES, GAP, LABEL = 64, 96, 6, 3, 13


def draw(path: str) -> None:
    """Writes the sheet: two columns of augmentations, several images of each."""
    photograph = Image.fromarray(load_sample_image("china.jpg"))
    pixels = np.asarray(photograph.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))
    normalization = measure(pixels[None])
    image = normalize(pixels, normalization)
    images = np.repeat(image[None], COPIES, axis=0)
    rows = -(-len(TEXTS) // 2)
    across, down = COPIES * (WIDTH + GAP) + 4 * GAP, HEIGHT + LABEL + 2 * GAP
    sheet = Image.new("RGB", (2 * across - 3 * GAP, rows * down), "white")
    canvas = ImageDraw.Draw(sheet)
    for number, text in enumerate(TEXTS):
        left, top = number // rows * across + GAP, number % rows * down
        canvas.text((left, top), text, fill="black")
        if text == ALTERNATING:  # the same example in some epochs
            numbers, epochs = np.zeros(COPIES, int), np.arange(COPIES)
            found = flip_alternately(images, numbers, epochs, examples=1, seed=0)
        else:
            augmentation = make_augmentation(text, normalization)
            found = augment_each([augmentation], jax.random.key(3), images, 0)
        for copy, one in enumerate(np.asarray(found)):
            byte = np.clip(one * normalization.std + normalization.mean, 0, 255)
            tile = Image.fromarray(np.round(byte).astype(np.uint8))
            sheet.paste(tile, (left + copy * (WIDTH + GAP), top + LABEL))
    sheet.quantize(255).save(path, optimize=True)


def measure_cost(rounds: int = 30, steps: int = 3) -> None:
    """Prints what the recipe adds to a step of ``resnet20``, and what it costs alone.

    The two steps take turns, so that a slow moment of the machine slows both. All times
    are the least of some, those of the machine at its least busy.
    """
    times = {(): [], RECIPE: []}
    runs = {recipe: _make_step(recipe) for recipe in times}
    for _ in range(rounds):
        for recipe, run in runs.items():
            start = time.perf_counter()
            run(steps)
            times[recipe].append((time.perf_counter() - start) / steps)
    plain, augmented = (1e3 * min(t) for t in times.values())
    alone = 1e3 * _time_alone(RECIPE)
    print(f"resnet20, 128 images of 32x32x3, {jax.default_backend()}")
    print(f"step without augmentation {plain:8.2f} ms")
    print(
        f"step with the recipe      {augmented:8.2f} ms, {augmented / plain - 1:+.1%}"
    )
    print(f"the recipe alone          {alone:8.2f} ms, {alone / plain:.1%} of a step")
    for text in TEXTS:
        if text == ALTERNATING:  # happens where a batch is loaded
            continue
        print(f"{text:36s}{1e3 * _time_alone((text,)):8.2f} ms")


def _make_step(recipe):
    """A function that takes some steps, compiled."""
    config = check_config(
        {
            "data.source": "synthetic:32x32x3,10,1024",
            "data.augment": recipe,
            "model.name": "resnet20",
            "batch_size": 128,
        }
    )
    problem = make_problem(config)
    step, state = lower_step(*problem).compile(), problem.state
    batch = next(train_batches(problem.experiment.dataset.train, 128, 0))
    batch = problem.devices.put_batch(batch)

    def run(steps):
        nonlocal state
        for _ in range(steps):
            state = step(state, batch)[0]
        jax.block_until_ready(state)

    run(3)
    return run


def _time_alone(texts, repeats: int = 50) -> float:
    """Seconds that augmentations take for a batch, the least of some."""
    normalization = Normalization(np.full(3, 120, "f"), np.full(3, 60, "f"))
    functions = [make_augmentation(text, normalization) for text in texts]
    images = np.random.default_rng(0).integers(0, 256, (128, 32, 32, 3), np.uint8)
    images = jax.device_put(normalize(images, normalization))
    key = jax.random.key(0)
    apply = jax.jit(lambda key, images: augment_each(functions, key, images, 0))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(apply(key, images))
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", help="PNG file to write")
    parser.add_argument("--time", action="store_true", help="time them instead")
    options = parser.parse_args()
    if options.time:
        measure_cost()
    elif options.path:
        draw(options.path)
    else:
        parser.error("give the path of a PNG file, or --time")
