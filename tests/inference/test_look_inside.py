"""Filters, feature maps and label maps are those of the network."""

from dataclasses import replace

import jax
import numpy as np
from flax import linen as nn

from cnnjax.data import Split
from cnnjax.inference.look_inside import find_label_maps, look_inside
from cnnjax.models import make_model
from tests.support.inference.runs import make_split


def test_the_filters_and_maps_are_those_of_the_network(run):
    trained, [image] = run.trained, make_split(1).images
    inside = look_inside(trained, image, "one.png")
    kernel = trained.variables["params"]["Conv_0"]["kernel"]
    np.testing.assert_array_equal(inside.filters.values, kernel)
    [maps] = inside.maps
    assert (inside.filters.layer, maps.layer) == ("Conv_0", "Conv_0")
    expected = trained.features(image, "Conv_0")
    np.testing.assert_allclose(maps.values, expected, rtol=1e-4, atol=1e-5)
    assert inside.kernels == ["Conv_0", "Dense_0", "Dense_1"]


def with_model(trained, model, shape):
    variables = jax.jit(model.init, static_argnames="train")(
        jax.random.key(0), np.zeros((1, *shape), np.float32), train=False
    )
    described = trained.description._replace(image_shape=shape)
    return replace(trained, model=model, variables=variables, description=described)


def test_a_middle_layer_is_shown_of_a_network_that_recomputes_its_layers(run):
    options = {"widths": (2, 3), "blocks": (1, 1), "stem": "cifar", "remat": True}
    model = make_model("resnet18", num_classes=3, **options)
    trained = with_model(run.trained, model, (9, 7, 3))
    inside = look_inside(trained, make_split(1).images[0], "one.png")
    first, middle = inside.maps
    assert first.layer == inside.filters.layer == inside.kernels[0]
    assert middle.layer != first.layer and middle.values.ndim == 3


def test_a_network_without_convolutions_has_no_filters(run):
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return nn.Dense(3)(x.reshape(len(x), -1))

    trained = with_model(run.trained, Net(), (9, 7, 3))
    inside = look_inside(trained, make_split(1).images[0], "one.png")
    assert inside.filters is None and inside.maps == []
    assert inside.kernels == ["Dense_0"]


def test_the_worst_label_maps_are_shown(run):
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return nn.Conv(3, (1, 1))(x)

    trained = with_model(run.trained, Net(), (9, 7, 3))
    trained = replace(
        trained, description=trained.description._replace(task="segmentation")
    )
    images = make_split(20).images
    labels = trained.logits(images).argmax(-1)
    for number, wrong in ((3, 5), (11, 9)):
        labels[number].flat[:wrong] += 1
    labels %= 3
    labels[11].flat[:3] = -1  # 6 of 60 pixels stay wrong, more than 5 of 63
    found = find_label_maps(trained, Split(images, labels), np.eye(3), None)
    assert found.names[:2] == ["example 11", "example 3"] and len(found.names) == 12
    np.testing.assert_array_equal(found.split.images[1], images[3])
    np.testing.assert_array_equal(found.split.labels[0], labels[11])
    assert (found.predictions[1] != labels[3]).sum() == 5
