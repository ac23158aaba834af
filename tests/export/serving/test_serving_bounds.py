"""The client of TensorFlow Serving before servers that claim too much, are slow or wrong."""

import itertools
import time
from types import SimpleNamespace

import numpy as np
import pytest
from serving_fake import (
    FLOATS,
    Fake,
    GrpcFake,
    listening,
    noise,
    refusal,
    rest_handler,
    signature,
    url_of,
)
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import get_model_metadata_pb2
from tfi2i_export.serving import client, replies, rest, wire
from tfi2i_export.serving import grpc as serving_grpc
from tfi2i_export.serving.client import ServerSampler, ServerTranslator
from tfi2i_export.serving.pictures import picture_in, png_of
from tfi2i_export.serving.replies import file_in, image_in, numbers_to_json
from tfi2i_export.serving.wire import Failure

NEVER = float("inf")


def fixed(height, width):
    return signature("image", "translation", types_pb2.DT_FLOAT, [1, height, width, 3])


# what a signature claims


@pytest.mark.parametrize("sides", [(20_000, 20_000), (10**9, 10**9), (-1, 10**8), (2**62, 1)])
def test_sizes_that_no_message_holds_are_refused_before_anything_is_made(served, sides):
    served.fake.signatures = {"f": fixed(*sides)}
    message = refusal(served.open)
    assert "too large to travel as numbers (f declares" in message and not served.fake.calls


def test_a_smaller_signature_is_taken_instead(served):
    served.fake.signatures = {"f": fixed(10**9, 10**9), "z": FLOATS}
    np.testing.assert_array_equal(served.open()(noise()), 255 - noise())


def test_a_sampler_s_claim_is_refused(served):
    made = fixed(10**6, 10**6)
    made.inputs.clear()
    served.fake.signatures = {"f": made}
    assert "too large to travel as numbers" in refusal(ServerSampler, served.url)


def test_one_fixed_side_makes_a_small_picture_too_large(served):
    served.fake.signatures = {"f": fixed(-1, 2**19)}
    message = refusal(served.open(), noise())
    assert "36 x 524288 pixels would travel as numbers" in message
    assert not served.fake.calls


def test_pictures_that_are_larger_than_what_is_sent_are_refused(served, monkeypatch):
    monkeypatch.setattr(client, "LARGEST_PICTURE", 1000)
    assert "33 x 45 pixels, more than the 1000 that are sent" in refusal(served.open(), noise())
    assert not served.fake.calls


# the deadline


@pytest.mark.parametrize("of_files", [True, False])
def test_the_deadline_covers_the_making_of_a_request(served, monkeypatch, of_files):
    if not of_files:
        served.fake.signatures = {"f": fixed(800, 800)}
    translator = served.open(deadline_seconds=0.2)
    translator._seconds = 0.01
    started = time.monotonic()
    assert "no answer within 0.01 seconds" in refusal(translator, noise(800, 800))
    assert time.monotonic() - started < 0.5


def clock(monkeypatch, module, readings):
    """Lets a module's clock go on by one at each look."""
    ticks = itertools.count()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    return readings


def test_numbers_are_written_until_the_deadline(monkeypatch):
    end = clock(monkeypatch, wire, 3)
    with pytest.raises(Failure, match="DEADLINE_EXCEEDED"):
        numbers_to_json(np.zeros((1, 400, 400, 3), np.float32), end)


def test_a_file_is_written_until_the_deadline(monkeypatch):
    end = clock(monkeypatch, wire, 3)
    with pytest.raises(Failure, match="DEADLINE_EXCEEDED"):
        png_of(noise(400, 400), end)


def test_a_reply_is_read_until_the_deadline(monkeypatch):
    monkeypatch.setattr(replies, "WHOLE", 0)
    image = np.zeros((1, 9, 2, 3), np.float32)
    reply = b'{"outputs": %s}' % numbers_to_json(image, NEVER).encode()
    end = clock(monkeypatch, wire, 3)
    with pytest.raises(Failure, match="DEADLINE_EXCEEDED"):
        image_in(reply, "translation", image.shape, end)


# replies


def test_a_description_with_half_a_surrogate_pair_is_refused(monkeypatch):
    def metadata(self):
        return {"metadata": {"signature_def": {"signature_def": {"f": {"\ud800": 1}}}}}

    fake = Fake()
    handler = rest_handler(fake)
    monkeypatch.setattr(handler, "metadata", metadata)
    with listening("http", fake, handler=handler) as port:
        said = refusal(ServerTranslator, url_of("http", port))
    assert "the description of the model cannot be read" in said


def test_a_description_that_is_none_is_refused(monkeypatch):
    fake, found = Fake(), get_model_metadata_pb2.GetModelMetadataResponse()
    found.metadata["signature_def"].Pack(get_model_metadata_pb2.SignatureDefMap())
    found.metadata["signature_def"].value = b"\xff\xff"
    monkeypatch.setattr(GrpcFake, "GetModelMetadata", lambda self, request, context: found)
    with listening("grpc", fake) as port:
        said = refusal(ServerTranslator, url_of("grpc", port))
    assert "the description of the model cannot be read" in said


def image_reply(image, form='{"outputs": %s}'):
    return (form % numbers_to_json(image, NEVER)).encode()


def test_numbers_are_written_as_json_writes_them(monkeypatch):
    monkeypatch.setattr(replies, "_PIECE", 4)
    rng = np.random.default_rng(1)
    for shape in ((1, 3, 2, 3), (1, 9), (7,), (1, 2, 11)):
        values = rng.normal(size=shape).astype(np.float32)
        assert numbers_to_json(values, NEVER) == replies.json.dumps(values.tolist())


@pytest.mark.parametrize(
    "form",
    [
        *('{"outputs": %s}', '{\n    "outputs": %s\n}', '{"outputs":{"translation":%s}}'),
        '{"outputs": { "translation" : \n%s \n} }\n',
    ],
)
def test_large_images_are_read_by_rows(monkeypatch, form):
    image = np.random.default_rng(2).uniform(0, 255, (1, 5, 7, 3)).astype(np.float32)
    whole = image_in(image_reply(image, form), "translation", image.shape, NEVER)
    monkeypatch.setattr(replies, "WHOLE", 0)
    rows = image_in(image_reply(image, form), "translation", image.shape, NEVER)
    np.testing.assert_array_equal(whole, image)
    np.testing.assert_array_equal(rows, image)


@pytest.mark.parametrize("whole", [0, 2**22])
@pytest.mark.parametrize(
    "form",
    [
        *('{"outputs": [%s]}', '{"outputs": [[[[1, 2, 3]]]]}', '{"outputs": {"y": %s}}'),
        *('{"outputs": "%s"}', '{"x": %s}', "%s", "[" * 9 + "%s", '{"outputs": %s', "\xff%s"),
        '{"outputs": [[' + "[" * 2**20 + "]]}",
    ],
    ids=range(10),
)
def test_another_form_is_no_image(monkeypatch, form, whole):
    monkeypatch.setattr(replies, "WHOLE", whole)
    image = np.zeros((1, 4, 4, 3), np.float32)
    reply = image_reply(image, form) if "%s" in form else form.encode()
    if form.endswith("%s") and form.startswith("{"):
        reply = reply[:-3]
    with pytest.raises((ValueError, TypeError, LookupError, Failure, RecursionError)):
        image_in(reply, "translation", image.shape, NEVER)


@pytest.mark.parametrize("whole", [0, 2**22])
@pytest.mark.parametrize("value", ["true", "false", "null", '"1"', "[1]", "{}"])
def test_what_numpy_would_make_numbers_of_is_no_image(monkeypatch, value, whole):
    monkeypatch.setattr(replies, "WHOLE", whole)
    row = f"[[{value}, {value}, {value}]]"
    reply = f'{{"outputs": [[{row}, {row}]]}}'.encode()
    with pytest.raises((TypeError, Failure)):
        image_in(reply, "translation", (1, 2, 1, 3), NEVER)


def test_large_files_are_read_without_a_parser(monkeypatch):
    file = np.random.default_rng(3).bytes(1000)
    text = replies.base64.b64encode(file).decode()
    monkeypatch.setattr(replies, "WHOLE", 0)
    for form in ('{"predictions": [{"b64": "%s"}]}', '{\n "predictions":[ {"b64":"%s"}\n ]\n}\n'):
        assert file_in((form % text).encode()) == file
        assert file_in((form % text.replace("/", r"\/")).encode()) == file
    for reply in (b'{"predictions": [%s]}' % (b"[]," * 99), b'{"predictions": [{"b64": "A"}]}'):
        with pytest.raises(ValueError):
            file_in(reply)


@pytest.mark.parametrize("value", [-1e30, 1e39, 1e30, -200.0, 600.0, -1.5, 257.0, np.nan, np.inf])
def test_values_that_are_no_levels_are_refused(served, value):
    served.fake.signatures = {"serving_default": FLOATS}
    with np.errstate(over="ignore"):
        wrong = np.asarray(value, np.float32 if served.url.startswith("grpc") else np.float64)
    served.fake.translate = lambda image: np.where(image == image.max(), wrong, image)
    message = refusal(served.open(), noise())
    assert "not what TF Serving gives" in message
    assert "NaN or infinite" in message or "not 0 to 255" in message


def test_truth_values_are_no_levels():
    fake = Fake()
    fake.signatures = {"serving_default": FLOATS}
    fake.translate = lambda image: {"outputs": np.ones_like(image, bool).tolist()}
    with listening("http", fake) as port, ServerTranslator(url_of("http", port)) as translator:
        assert "the translation cannot be read" in refusal(translator, noise())


def test_a_sampler_s_file_that_claims_any_size_is_refused():
    whole = png_of(noise(), NEVER)
    claims = whole[:16] + (60_000).to_bytes(4, "big") * 2 + whole[24:]
    with pytest.raises(Failure, match="60000 x 60000"):
        picture_in(claims, None)


def test_descriptions_are_bounded(kind, monkeypatch):
    fake = Fake()
    fake.states = [(1, "AVAILABLE", "x" * 2**22)]
    with listening(kind, fake) as port:
        message = refusal(ServerTranslator, url_of(kind, port), attempts=1)
    assert "not what TF Serving gives" in message
    assert rest.DESCRIPTION_LIMIT == serving_grpc.DESCRIPTION_LIMIT == 2**22


def test_replies_over_the_limit_are_refused(kind, monkeypatch):
    for module in (rest, serving_grpc):
        monkeypatch.setattr(module, "LARGEST_MESSAGE", 2**16)
    fake = Fake()
    fake.signatures = {"serving_default": FLOATS}
    fake.translate = lambda image: np.full((1, 200, 200, 3), 100.5, np.float32)
    with listening(kind, fake) as port, ServerTranslator(url_of(kind, port)) as translator:
        message = refusal(translator, noise(4, 4))
    assert "not what TF Serving gives" in message
