"""Predictions: classes, probabilities and features of images in any form."""

import numpy as np
import pytest
from PIL import Image

import cnnjax
from cnnjax.errors import ConfigError, DataError
from tests.support.inference.runs import NAMES, SETTINGS, make_split


@pytest.fixture(scope="module")
def trained(run):
    return run.trained


def test_probabilities_are_the_softmax_of_the_logits(trained):
    images = make_split(seed=1).images
    logits = trained.logits(images).astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(trained.predict_proba(images), expected, rtol=1e-9)


def test_a_prediction_has_the_best_classes_in_order(trained):
    images, labels = make_split(seed=1)
    found = trained.predict(images, k=2)
    proba = trained.predict_proba(images)
    assert [p.label for p in found] == proba.argmax(-1).tolist()
    assert np.mean(np.array([p.label for p in found]) == labels) > 0.9
    for row, prediction in zip(proba, found, strict=True):
        assert prediction.name == NAMES[prediction.label]
        assert [p for _, p in prediction.top] == sorted(row, reverse=True)[:2]
    assert len(trained.predict(images[0]).top) == 3


@pytest.mark.parametrize("n", [1, 2, 8, 9, 70])
def test_images_do_not_depend_on_those_beside_them(trained, n):
    images = make_split(300, seed=3).images
    whole = trained.logits(images)
    np.testing.assert_allclose(trained.logits(images[:n]), whole[:n], atol=1e-5)


def test_images_come_in_many_forms(trained, tmp_path):
    images = make_split(3, seed=1).images
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    expected = trained.logits(images)
    forms = [images.astype(np.float64), [*images], paths, [*map(str, paths)]]
    forms += [[paths[0], *images[1:]]]
    for form in forms:
        np.testing.assert_allclose(trained.logits(form), expected, atol=1e-5)
    for one in (images[0], paths[0], str(paths[0])):
        np.testing.assert_allclose(trained.logits(one), expected[0], atol=1e-5)


def test_gray_files_become_colors_and_turned_ones_upright(trained, tmp_path):
    image = Image.fromarray(make_split(1, seed=4).images[0])
    gray = image.convert("L")
    gray.save(tmp_path / "gray.png")
    expected = trained.logits(np.asarray(gray.convert("RGB")))
    np.testing.assert_allclose(trained.logits(tmp_path / "gray.png"), expected)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    expected = trained.logits(np.asarray(image))
    np.testing.assert_allclose(trained.logits(tmp_path / "turned.png"), expected)


def test_features_are_the_outputs_of_a_layer(trained):
    images = make_split(5, seed=1).images
    hidden = trained.features(images, layer="Dense_0")
    assert hidden.shape == (5, 16)
    weights = trained.variables["params"]["Dense_1"]
    logits = np.maximum(hidden, 0) @ weights["kernel"] + weights["bias"]
    np.testing.assert_allclose(logits, trained.logits(images), rtol=1e-4, atol=1e-5)
    assert trained.features(images[0], layer="Conv_0").shape == (9, 7, 8)
    with pytest.raises(ConfigError, match=r"unknown layer 'Dense_9'.*Conv_0"):
        trained.features(images, layer="Dense_9")


def test_sigmoid_gives_each_class_its_own_probability(tmp_path):
    settings = SETTINGS | {"loss.name": "sigmoid", "duration": "3 steps"}
    data = tuple(make_split())
    run = cnnjax.train(settings, data=data, workdir=tmp_path / "a", progress="none")
    logits = run.trained.logits(data[0][:4]).astype(np.float64)
    expected = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(run.trained.predict_proba(data[0][:4]), expected)
    assert run.trained.class_names == ("0", "1", "2")


REFUSED = {
    "another size": (np.zeros((2, 9, 8, 3)), r"\(2, 9, 8, 3\): expected \(9, 7, 3\)"),
    "another number of channels": (np.zeros((9, 7, 1)), r"expected \(9, 7, 3\)"),
    "an empty list": ([], "there are no images"),
    "an empty array": (np.zeros((0, 9, 7, 3)), "expected one or more images"),
    "different sizes": ([np.zeros((9, 7, 3)), np.zeros((3, 3, 3))], "have shapes"),
    "NaN": (np.full((9, 7, 3), np.nan), "NaN or infinity"),
    "text": (np.array("x"), "expected"),
    "no file": ("nowhere.png", "nowhere.png cannot be read as an image: No such file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_images_are_refused(trained, case):
    images, message = REFUSED[case]
    with pytest.raises(DataError, match=message):
        trained.predict(images)


def test_damaged_and_foreign_files_are_refused(trained, tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (7, 9)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"a\.png cannot be read as an image"):
        trained.predict(path)
    path.write_text("not an image")
    with pytest.raises(DataError, match=r"a\.png cannot be read as an image"):
        trained.predict(path)
    Image.new("RGB", (8, 9)).save(path)
    with pytest.raises(DataError, match="9 x 8 pixels, but the model takes 9 x 7"):
        trained.predict(path)


def test_k_is_checked(trained):
    with pytest.raises(ConfigError, match="k is 0, expected a whole number above 0"):
        trained.predict(np.zeros((9, 7, 3)), k=0)
