"""The client of TensorFlow Serving: the URLs it takes, and pictures there and back."""

import io
from concurrent import futures

import numpy as np
import pytest
from google.protobuf import json_format
from PIL import Image
from serving_fake import (
    FILES,
    FLOATS,
    Fake,
    listening,
    noise,
    refusal,
    rest_handler,
    signature,
    url_of,
)
from tensorflow.core.framework import types_pb2
from tfi2i_export.serving.client import ServerTranslator
from tfi2i_export.serving.wire import parsed

from tfi2i.pictures.folders import translate_files

# URLs


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("http://localhost:8501/v1/models/a2b-saved_model", None),
        ("https://models.example.org/v1/models/m/versions/12", None),
        ("http://[::1]:8501/v1/models/m/labels/stable", None),
        ("HTTP://h:80/v1/models/m:predict", "http://h:80/v1/models/m"),
        ("http://h:80/v1/models/m/", "http://h:80/v1/models/m"),
        (" grpc://10.0.0.1:8500/m/versions/3 ", "grpc://10.0.0.1:8500/m/versions/3"),
        ("grpcs://h:8500/m/labels/canary", None),
    ],
)
def test_urls_of_served_models_are_understood(url, canonical):
    address = parsed(url)
    assert address.url == (canonical or url)
    assert address.is_rest == address.url.startswith("http")


@pytest.mark.parametrize(
    "url",
    [
        *("", "localhost:8501", "http://h:8501", "http://h:8501/v1/models/", "http://h:8501/m"),
        *("http://h:0/v1/models/m", "http://h:65536/v1/models/m", "http:///v1/models/m"),
        *("http://h/v1/models/m?x=1", "http://h/v1/models/a/b", "http://h/v1/models/../m"),
        *("http://h/v1/models/m/versions/last", "http://h/v1/models/m/versions/1/labels/x"),
        *("grpc://h/m", "grpc://h:8500", "grpc://h:8500/v1/models/m", "ftp://h:1/v1/models/m"),
        *("http://h:8501/v1/models/m\r\nX: y", "grpc://a b:1/m", "http://h\x1b[2J/v1/models/m"),
    ],
)
def test_other_urls_are_refused_with_the_right_form(url):
    assert "http://HOST:PORT/v1/models/NAME or grpc://HOST:PORT/NAME" in refusal(parsed, url)


def test_a_password_in_the_url_is_not_repeated():
    for url in ("http://me:secret@h:8501/v1/models/m", "http://me:a/secret@h:8501/v1/models/m"):
        assert "secret" not in refusal(parsed, url)


def test_a_long_url_is_cut_in_the_message():
    assert "x..." in refusal(parsed, f"http://h/{'x' * 3_000}")


def test_bad_numbers_are_refused(served):
    for seconds in (0, -1, float("nan"), float("inf")):
        assert "deadline" in refusal(ServerTranslator, served.url, deadline_seconds=seconds)
    assert "1 attempt" in refusal(ServerTranslator, served.url, attempts=0)


# translations


def test_a_picture_travels_as_png_and_comes_back(served):
    translator = served.open()
    pixels = noise()
    np.testing.assert_array_equal(translator(pixels), 255 - pixels)
    np.testing.assert_array_equal(translator(pixels[::-1, ::2]), 255 - pixels[::-1, ::2])
    model, name, file = served.fake.calls[0]
    assert (model, name) == ("m", "serving_default")
    with Image.open(io.BytesIO(file)) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), pixels)


def test_pictures_of_one_pixel_and_of_many_megabytes(served):
    translator = served.open()
    for pixels in (noise(1, 1), noise(1300, 1200)):  # 4.7 MB are over gRPC's own limit
        np.testing.assert_array_equal(translator(pixels), 255 - pixels)


def test_what_are_no_pixels_is_refused(served):
    translator = served.open()
    for bad in (noise()[..., :1], noise()[0], noise().astype(np.float32), noise()[:0]):
        assert "(H, W, 3)" in refusal(translator, bad)
    assert not served.fake.calls


def test_without_a_signature_of_files_floats_are_sent(served):
    served.fake.signatures = {"serving_default": FLOATS}
    translator = served.open()
    pixels = noise(33, 45)
    np.testing.assert_array_equal(translator(pixels), 255 - pixels)
    np.testing.assert_array_equal(translator(pixels[:1, :5]), 255 - pixels[:1, :5])
    (_, name, image), (_, _, small) = served.fake.calls
    assert name == "serving_default" and image.shape == (1, 36, 48, 3)
    np.testing.assert_array_equal(image[0, :33, :45], pixels)
    np.testing.assert_array_equal(image[0, 33:, :45], pixels[31:28:-1], "reflected")
    assert small.shape == (1, 32, 32, 3)


def test_a_signature_of_one_size_takes_what_fits_in(served):
    fixed = signature("image", "translation", types_pb2.DT_FLOAT, [-1, 64, 48, 3])
    served.fake.signatures = {"serving_default": fixed}
    translator = served.open()
    pixels = noise(60, 48)
    np.testing.assert_array_equal(translator(pixels), 255 - pixels)
    assert served.fake.calls[0][2].shape == (1, 64, 48, 3)
    assert "up to 64 x 48 pixels, not of 60 x 49" in refusal(translator, noise(60, 49))


def test_levels_are_rounded_and_clipped(served):
    served.fake.signatures = {"predict_tensor": FLOATS}
    served.fake.translate = lambda image: np.float32([-0.9, 100.6, 255.9]) + 0 * image
    answer = served.open()(noise())
    assert (answer == [0, 101, 255]).all()


def test_files_are_preferred_and_serving_default_among_equals(served):
    served.fake.signatures = {"serving_default": FLOATS, "z": FILES}
    served.open()(noise())
    served.fake.signatures = {"a": FILES, "serving_default": FILES}
    served.open()(noise())
    assert [call[1] for call in served.fake.calls] == ["z", "serving_default"]


GREYS = signature("image", "translation", types_pb2.DT_FLOAT, [-1, -1, -1, 1])


def test_numbers_of_sixteen_bits_go_out_and_come_back_as_they_are(served, tmp_path):
    served.fake.signatures = {"serving_default": FILES, "predict_tensor": GREYS}
    served.fake.translate = lambda file: file
    numbers = np.random.default_rng(0).integers(0, 4096, (5, 6), np.uint16)
    for name in ("a.png", "b.tif"):
        Image.fromarray(numbers).save(tmp_path / name)
    Image.fromarray(numbers / np.float32(4096)).save(tmp_path / "c.tif")
    translator = served.open()
    assert translator.channels == (1, 1) and translator.takes_numbers
    whole = {"target_range": (0.0, 65535.0)}
    translate_files(translator, [tmp_path], tmp_path / "out", **whole)
    for name in ("a.png", "b.tif"):
        with Image.open(tmp_path / "out" / name) as image:
            np.testing.assert_array_equal(np.asarray(image), numbers)
    with Image.open(tmp_path / "out" / "c.tif") as image:
        np.testing.assert_array_equal(np.asarray(image), np.rint(numbers / 4096 * 255))


def test_who_scales_the_numbers_sends_floats(served):
    translator = served.open(by_tensor=True)
    assert not translator.takes_numbers
    np.testing.assert_array_equal(translator(noise()), 255 - noise())
    assert [call[1] for call in served.fake.calls] == ["predict_tensor"]


@pytest.mark.parametrize("place", ["m/versions/3", "m/labels/stable"])
def test_versions_and_labels_are_asked_for(served, place):
    served.open(place)(noise())
    assert served.fake.calls[0][0] == place


def test_openvino_s_way_of_writing_is_understood():
    fake = Fake()
    fake.translate = lambda image: {"outputs": {"translation": (255 - image).tolist()}}
    handler = rest_handler(fake)
    signatures = {"serving_default": json_format.MessageToDict(FLOATS)}
    found = {"@type": "x", "signatureDef": signatures}
    handler.metadata = lambda self: {"modelSpec": {}, "metadata": {"signature_def": found}}
    with (
        listening("http", fake, handler=handler) as port,
        ServerTranslator(url_of("http", port)) as translator,
    ):
        np.testing.assert_array_equal(translator(noise()), 255 - noise())
    assert fake.calls[0][2].shape == (1, 36, 48, 3)


def test_many_threads_each_get_their_own_answer(served):
    translator = served.open()
    pictures = [noise(seed=i) for i in range(40)]
    with futures.ThreadPoolExecutor(8) as pool:
        for pixels, answer in zip(pictures, pool.map(translator, pictures), strict=True):
            np.testing.assert_array_equal(answer, 255 - pixels)
