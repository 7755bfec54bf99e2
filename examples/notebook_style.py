"""Handwritten digits, step by step, in cells that begin with ``# %%``.

VS Code, PyCharm and Jupyter (with jupytext) run the cells of this file one by one; as a
script, it runs from top to bottom: ``python examples/notebook_style.py``
"""

# %% Load the data
import numpy as np

import cnnjax
from cnnjax.data import load_dataset

digits = load_dataset("digits", validation_fraction=0.1, test_fraction=0.2, seed=0)
print(digits.train.images.shape, digits.train.images.dtype, digits.num_classes)

# %% Train
run = cnnjax.train(
    {
        "model": {"widths": (32, 64), "dense": (64,), "dropout": 0.3},
        "optimizer": {"name": "adamw", "learning_rate": 3e-3},
        "batch_size": 64,
        "duration": "10 epochs",
    },
    data=digits,
    progress="lines",
)

# %% How it learned
for name in ("loss", "accuracy"):
    print(name, np.round(run.history["validation"][name], 3))

# %% What it says about one image
image = digits.test.images[0]
print("\n".join("".join(" .:*#"[v // 4] for v in row) for row in image[..., 0]))
print(run.predict(image, k=3))

# %% Which digits it confuses
guesses = run.trained.predict_proba(digits.test.images).argmax(-1)
confusion = np.zeros((10, 10), int)
np.add.at(confusion, (digits.test.labels, guesses), 1)
print(confusion)

# %% Are the hand-written gradients of a layer right?
from cnnjax import ops  # noqa: E402

x = np.random.default_rng(0).normal(size=(2, 8, 8, 3))
print(cnnjax.compare_gradients(ops.silu, lambda x: x / (1 + np.e**-x), x).ok)
