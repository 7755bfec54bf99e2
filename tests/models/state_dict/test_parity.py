"""Our networks compute what torchvision's and timm's do with the same weights.

``scripts/record_logits.py`` recorded their logits.
"""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from cnnjax.models import MODELS, make_model
from cnnjax.models.catalog import CATALOG
from cnnjax.models.state_dict.fit import fit
from cnnjax.models.state_dict.load import array_name
from cnnjax.models.state_dict.names import namings
from tests.support.weights.recipe import make_array, make_images

LOGITS = Path(__file__).parent / "logits"
RECORDED = sorted(path.stem for path in LOGITS.glob("*.json"))
OPTIONS = {"mobilenet_v3_small-timm": {"epsilon": 1e-5}}


@functools.cache
def traced(model, shape):
    """The shapes of its variables, and its logits as a compiled function of them.

    Networks with weights in two libraries follow each other: they share a program.
    """
    x = jnp.zeros(shape)
    leaves = jax.eval_shape(lambda key: model.init(key, x, False), jax.random.key(0))
    return flatten_dict(leaves), jax.jit(lambda v, x: model.apply(v, x, train=False))


@pytest.mark.slow
@pytest.mark.parametrize("recorded", RECORDED)
def test_logits_are_those_of_the_library(recorded):
    known = json.loads((LOGITS / f"{recorded}.json").read_text())
    expected = np.array(known["logits"])
    images = jnp.asarray(np.moveaxis(make_images(known["images"]), 1, -1))
    name, options = recorded.partition("-")[0], OPTIONS.get(recorded, {})
    model = make_model(name, num_classes=expected.shape[1], **options)
    leaves, run = traced(model, images.shape)
    shapes = {array_name(keys): leaf.shape for keys, leaf in leaves.items()}
    arrays = {key: make_array(key, shape) for key, shape in known["shapes"].items()}
    fitted = fit(model, shapes, arrays, known["library"]).arrays
    variables = unflatten_dict({keys: fitted[array_name(keys)] for keys in leaves})
    logits = run(variables, images)
    error = np.abs(logits - expected).max() / np.abs(expected).max()
    assert error < 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_the_libraries_of_the_catalog_are_known(name):
    libraries = set()
    for options in ({}, {"epsilon": 1e-5}) if "v3" in name else ({},):
        model = make_model(name, num_classes=2, **options)
        libraries |= {how.library for how in namings(model, ["Dense_0.kernel"])}
    assert {*CATALOG[name].weights} <= libraries
