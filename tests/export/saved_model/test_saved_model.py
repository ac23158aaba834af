"""SavedModels for servers: what they answer in the C++ session, and how versions appear."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image
from small_files import network
from tfi2i_export.saved_model import writing as saved_model
from tfi2i_export.saved_model.files import signatures
from tfi2i_export.saved_model.lint import lint
from tfi2i_export.saved_model.server_session import Request, answers_in_child
from tfi2i_export.saved_model.writing import (
    TENSOR,
    SavedTranslator,
    refuse_unservable,
    save,
)

from tfi2i.errors import InputError
from tfi2i.pictures.depth import Ranges


def pixels(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def png(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def opened(content):
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture)


def styled(size=None):
    """A stand-in for systems with a second input: the style scales the colours."""
    image = keras.Input((size, size, 3), name="image")
    style = keras.Input((4,), name="style")
    scale = layers.Dense(3, "sigmoid", name="scale")(style)
    return keras.Model([image, style], image * layers.Reshape((1, 1, 3), name="planes")(scale))


@pytest.fixture(scope="module")
def free(tmp_path_factory):
    return save(network(), tmp_path_factory.mktemp("served") / "model")


def test_pictures_of_any_sizes_come_back_in_their_own(free):
    pictures = [pixels(32, 48), pixels(1, 1), pixels(61, 34)]
    files = [png(one) for one in pictures]
    alone = [Request("", {"image_bytes": [one]}) for one in files]
    answers = answers_in_child(free, [Request("", {"image_bytes": files}), *alone])
    together = answers[0].outputs["image_bytes"]
    assert [opened(one).shape for one in together] == [one.shape for one in pictures]
    assert together == [answer.outputs["image_bytes"][0] for answer in answers[1:]]
    expected = SavedTranslator(network())(pictures[0][None])[0]
    assert np.abs(opened(together[0]) - expected.astype(int)).max() <= 1


def test_numbers_of_a_range_come_back_as_numbers_of_the_targets(tmp_path):
    image = keras.Input((None, None, 1), name="image")
    ranges = Ranges((0, 4095), (0, 1000))
    folder = save(keras.Model(image, -image), tmp_path / "model", ranges=ranges)
    numbers = np.array([[[0], [1], [2048], [4095], [9999]]], np.uint16)
    request = Request("", {"image_bytes": [tf.io.encode_png(numbers).numpy()]})
    (answer,) = answers_in_child(folder, [request])
    made = tf.io.decode_png(answer.outputs["image_bytes"][0], dtype=tf.uint16).numpy()
    assert made.ravel().tolist() == [1000, 1000, 500, 0, 0] and made.shape == numbers.shape


def test_tensors_are_translated_in_batches_of_any_size(free):
    image = np.stack([pixels(32, 64, seed) for seed in range(3)])
    request = Request("predict_tensor", {"image": image.astype(np.float32)})
    answer = answers_in_child(free, [request])[0].outputs["translation"]
    difference = np.rint(answer) - SavedTranslator(network())(image)
    assert np.abs(difference).max() <= 1


def test_a_bad_picture_is_an_invalid_argument(free):
    requests = [
        Request("", {"image_bytes": [content]})
        for content in (b"", b"junk", png(pixels(8, 8))[:60])
    ]
    assert [answer.error.code for answer in answers_in_child(free, requests)] == [3] * 3


SHAPES = [(32, 32, 3), (1, 1, 32, 32, 3), (1, 32, 32, 6), (1, 32, 32, 1), (1, 63, 62, 3)]
SHAPES += [(1, 2, 4, 3), (1, 28, 32, 3), (3,), (1, 0, 32, 3)]


def test_tensors_of_another_shape_are_refused(free):
    """The runtime does not look at the shapes of signatures; a wrong rank would end the process."""
    requests = [Request(TENSOR, {"image": np.zeros(shape, np.float32)}) for shape in SHAPES]
    answers = answers_in_child(free, requests)
    assert [answer.error and answer.error.code for answer in answers] == [3] * len(SHAPES)
    assert "multiples of 4 from 32 on" in answers[4].error.message


def test_a_translator_of_one_size_gets_pictures_scaled_to_it(tmp_path):
    fixed = keras.Input((32, 32, 3), name="image")
    folder = save(keras.Model(fixed, -fixed), tmp_path / "model")
    slopes = np.stack(np.broadcast_arrays(*np.ogrid[:96, :64], 7), -1).astype(np.uint8)
    files = [png(slopes), png(pixels(32, 32))]
    answer = answers_in_child(folder, [Request("", {"image_bytes": files})])[0]
    large, same = map(opened, answer.outputs["image_bytes"])
    assert large.shape == slopes.shape
    assert np.abs(255 - slopes - large.astype(int)).max() <= 3
    np.testing.assert_array_equal(same, 255 - pixels(32, 32))


def test_a_translator_of_one_size_may_be_small(tmp_path):
    fixed = keras.Input((18, 20, 3), name="image")
    folder = save(keras.Model(fixed, -fixed), tmp_path / "model")
    image = pixels(18, 20)[None].astype(np.float32)
    (answer,) = answers_in_child(folder, [Request(TENSOR, {"image": image})])
    np.testing.assert_allclose(answer.outputs["translation"], 255 - image, atol=1e-4)


@pytest.mark.parametrize("size", [None, 32])
def test_extra_inputs_are_in_both_signatures(tmp_path, size):
    folder = save(styled(size), tmp_path / "model")
    known = signatures(folder)
    assert set(known["serving_default"].inputs) == {"image_bytes", "style"}
    assert set(known["predict_tensor"].inputs) == {"image", "style"}
    image = pixels(32, 32)
    style = np.array([[0, 0, 0, 0], [4, -2, 1, 3]], np.float32)
    tensors = {"image": np.stack([image] * 2).astype(np.float32), "style": style}
    files = {"image_bytes": [png(image)] * 2, "style": style}
    requests = [Request("predict_tensor", tensors), Request("serving_default", files)]
    by_tensor, by_file = answers_in_child(folder, requests)
    translation = np.rint(by_tensor.outputs["translation"])
    assert np.abs(translation[0] - translation[1]).mean() > 1
    for i, content in enumerate(by_file.outputs["image_bytes"]):
        np.testing.assert_array_equal(opened(content), translation[i])
    wrong = [np.zeros(shape, np.float32) for shape in [(2, 5), (4,), (2, 4, 1)]]
    requests = [Request(TENSOR, tensors | {"style": one}) for one in wrong]
    requests += [Request("", files | {"style": one}) for one in [*wrong, style[:1]]]
    codes = [answer.error.code for answer in answers_in_child(folder, requests)]
    assert set(codes) == {3}


def test_openvino_gets_tensors_alone(tmp_path):
    folder = save(network(), tmp_path / "model", tensor_only=True)
    assert lint(folder) == []
    known = signatures(folder)
    assert all(set(one.inputs) == {"image"} for one in known.values())
    assert "serving_default" in known


def test_weights_are_stored_once(free):
    stored = (free / "variables" / "variables.data-00000-of-00001").stat().st_size
    assert 1 < stored / (4 * network().count_params()) < 1.5


def test_versions_are_counted_up_and_appear_whole(free):
    second = save(network(), free.parent)
    assert (free.name, second.name) == ("1", "2")
    assert sorted(one.name for one in free.parent.iterdir()) == ["1", "2"]
    refuse_unservable(second)


def test_a_version_that_lint_refuses_never_appears(tmp_path, monkeypatch):
    monkeypatch.setattr(saved_model, "lint", lambda folder: ["It is too blue.", "And too big."])
    with pytest.raises(InputError, match="cannot be served. It is too blue. And 1 more: And too"):
        save(network(), tmp_path / "model")
    assert list((tmp_path / "model").iterdir()) == []
