"""The client of TensorFlow Serving, and answers that are no served model or no translation."""

import numpy as np
import pytest
import tensorflow as tf
from serving_fake import (
    FILES,
    FLOATS,
    Fake,
    Refused,
    listening,
    noise,
    png,
    refusal,
    rest_handler,
    signature,
    url_of,
)
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis import predict_pb2
from tfi2i_export.serving.client import ServerTranslator

from tfi2i.errors import InputError

# what a server may say before the first picture


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([(1, "END", "no such op: Foo"), (2, "LOADING", "")], "still being loaded"),
        ([(1, "START", "")], "still being loaded"),
        ([(1, "END", "no such op: Foo")], r"could not load .*\(no such op: Foo\)"),
        ([(1, "UNLOADING", "")], r"unloaded it \(UNLOADING\)"),
        ([], "no such model"),
    ],
)
def test_a_model_that_is_not_ready_is_refused(served, states, said):
    served.fake.states = states
    with pytest.raises(InputError, match=said) as caught:
        served.open()
    assert served.url in str(caught.value)


def test_one_version_that_is_ready_is_enough(served):
    served.fake.states = [(1, "AVAILABLE", ""), (2, "LOADING", "")]
    served.open()(noise())


@pytest.mark.parametrize("what", ["status", "metadata"])
@pytest.mark.parametrize("code", ["NOT_FOUND", "INVALID_ARGUMENT"])
def test_a_missing_model_or_label_is_named(served, what, code):
    served.fake.refusals[what] = Refused(code, "Could not find any versions of model m")
    message = refusal(served.open)
    assert f"{served.url}: the server has no such model (Could not find" in message


@pytest.mark.parametrize(
    ("signatures", "shown"),
    [
        ({}, "it has no signature"),
        ({"serving_default": signature("x", "y", types_pb2.DT_FLOAT)}, "serving_default: x -> y"),
        ({"f": signature("image_bytes", "image_bytes", types_pb2.DT_FLOAT)}, "f: image_bytes"),
        ({"g": signature("image", "translation", types_pb2.DT_STRING)}, "g: image -> translation"),
    ],
)
def test_a_model_of_another_kind_is_refused_with_what_it_has(served, signatures, shown):
    served.fake.signatures = signatures
    message = refusal(served.open)
    assert shown in message and "tfi2i export RUN --format saved_model" in message


def with_inputs(plain: SignatureDef, **extra) -> SignatureDef:
    """A signature that takes more: a type and a shape by name."""
    found = SignatureDef()
    found.CopyFrom(plain)
    for name, (dtype, shape) in extra.items():
        found.inputs[name].dtype = dtype
        for side in shape:
            found.inputs[name].tensor_shape.dim.add(size=side)
    return found


STYLE = {"style": (types_pb2.DT_FLOAT, [-1, 8])}


@pytest.mark.parametrize("plain", [FILES, FLOATS])
@pytest.mark.parametrize(
    "extra",
    [
        {"style": (types_pb2.DT_DOUBLE, [-1, 8])},
        {"style": (types_pb2.DT_FLOAT, [-1, -1])},
        {"style": (types_pb2.DT_FLOAT, [-1, 0])},
        {"style": (types_pb2.DT_FLOAT, [-1])},
        {"style": (types_pb2.DT_FLOAT, [])},
        {"style": (types_pb2.DT_FLOAT, [4, 8])},
        {"two words": (types_pb2.DT_FLOAT, [-1, 8])},
        {"x" * 41: (types_pb2.DT_FLOAT, [-1, 8])},
        {f"x{i}": (types_pb2.DT_FLOAT, [-1, 8]) for i in range(9)},
    ],
    ids=range(9),
)
def test_inputs_that_no_export_has_are_refused(served, plain, extra):
    served.fake.signatures = {"f": with_inputs(plain, **extra)}
    assert "the model takes no pictures (its signatures are f: " in refusal(served.open)


def test_values_are_asked_for_by_name_and_shape_and_claim_no_memory(served):
    huge = {"style": (types_pb2.DT_FLOAT, [-1, 2**40, 2**20])}
    for shape, extra in (("(8,)", STYLE), (f"({2**40}, {2**20})", huge)):
        served.fake.signatures = {"f": with_inputs(FILES, **extra)}
        assert f"{served.url} also takes style {shape}; give values=" in refusal(served.open)
        said = refusal(served.open, values={"style": np.zeros(7)})
        assert "style has the shape (7,)" in said


def test_a_signature_of_pictures_alone_is_preferred(served):
    served.fake.signatures = {"serving_default": with_inputs(FILES, **STYLE), "z": FLOATS}
    np.testing.assert_array_equal(served.open()(noise()), 255 - noise())
    assert [call[1] for call in served.fake.calls] == ["z"]


def test_a_server_of_another_kind_is_told_apart(served):
    served.fake.refusals["status"] = Refused("UNIMPLEMENTED", "Method not found!")
    assert "Method not found!" in refusal(served.open)


@pytest.mark.parametrize(
    "content",
    [
        *(b"<html>Welcome to nginx!</html>", b"[]", b"{}", b"\xff", b"", b"[" * 100_000),
        *(b'{"model_version_status": 3}', b'{"model_version_status": [3]}', bytes(2**24 + 1)),
    ],
    ids=range(9),
)
def test_a_web_server_that_is_no_tf_serving_is_told_apart(content):
    handler = rest_handler(Fake())
    handler.status = lambda self: content
    with listening("http", Fake(), handler=handler) as port:
        message = refusal(ServerTranslator, url_of("http", port))
    assert "not what TF Serving gives" in message


def test_pictures_go_nowhere_but_where_the_user_said():
    fake, handler = Fake(), rest_handler(Fake())

    def moved(self):
        self.send_response(307)
        self.send_header("Location", f"http://127.0.0.1:{elsewhere}{self.path}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    handler.do_GET = moved
    with listening("http", fake) as elsewhere, listening("http", fake, handler=handler) as port:
        assert "HTTP 307" in refusal(ServerTranslator, url_of("http", port))


# replies that are no translations


def test_other_files_and_sizes_are_no_translation(served):
    translator = served.open(attempts=1)
    whole = png(noise())
    claims_much = whole[:16] + (60000).to_bytes(4, "big") * 2 + whole[24:]
    for answer, said in (
        (b"", "0 bytes that are no PNG"),
        (b"GIF89a" + bytes(30), "no PNG"),
        (whole[:20], "no PNG"),
        (whole[: len(whole) // 2], "damaged"),
        (png(noise(32, 45)), "32 x 45 instead of 33 x 45"),
        (claims_much, "60000 x 60000 instead of"),
        (whole + bytes(10**6), "bytes"),
    ):
        served.fake.translate = lambda file, answer=answer: answer
        message = refusal(translator, noise())
        assert said in message and "not what TF Serving gives" in message


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"predictions": []},
        {"predictions": [{"b64": "AA=="}, {"b64": "AA=="}]},
        {"predictions": [{"b64": "no base64!"}]},
        {"predictions": ["text"]},
        {"predictions": {"b64": "AA=="}},
        {"predictions": [{"b64": 3}]},
    ],
)
def test_json_of_another_form_is_no_translation(document):
    fake = Fake()
    with listening("http", fake) as port, ServerTranslator(url_of("http", port)) as translator:
        fake.translate = lambda file: document
        assert "the translation cannot be read" in refusal(translator, noise())


@pytest.mark.parametrize(
    "change",
    [
        lambda reply: None,
        lambda reply: reply.outputs["other"].string_val.append(b"x"),
        lambda reply: reply.outputs["image_bytes"].CopyFrom(tf.make_tensor_proto([1.0])),
        lambda reply: reply.outputs["image_bytes"].CopyFrom(tf.make_tensor_proto([b"a", b"b"])),
    ],
)
def test_messages_of_another_form_are_no_translation(change):
    reply = predict_pb2.PredictResponse()
    change(reply)
    fake = Fake()
    fake.translate = lambda file: reply
    with listening("grpc", fake) as port, ServerTranslator(url_of("grpc", port)) as translator:
        assert "not what TF Serving gives" in refusal(translator, noise())


def test_tensors_of_another_form_are_no_translation(served):
    served.fake.signatures = {"serving_default": FLOATS}
    translator = served.open()
    for answer, said in (
        (np.zeros((1, 36, 44, 3), np.float32), "(1, 36, 44, 3) instead of (1, 36, 48, 3)"),
        (np.zeros((36, 48, 3), np.float32), "(36, 48, 3) instead of"),
        (np.full((1, 36, 48, 3), np.nan, np.float32), "NaN"),
    ):
        served.fake.translate = lambda image, answer=answer: answer
        assert said in refusal(translator, noise())


def test_a_tensor_that_only_claims_its_values_takes_no_memory():
    reply = predict_pb2.PredictResponse()
    tensor = reply.outputs["translation"]
    tensor.dtype = types_pb2.DT_FLOAT
    tensor.float_val.append(1.0)
    for side in (1, 10**6, 10**6, 3):
        tensor.tensor_shape.dim.add(size=side)
    fake = Fake()
    fake.signatures, fake.translate = {"serving_default": FLOATS}, lambda image: reply
    with listening("grpc", fake) as port, ServerTranslator(url_of("grpc", port)) as translator:
        assert "1000000, 1000000" in refusal(translator, noise())


@pytest.mark.parametrize("outputs", [[[1], [1, 2]], ["x"], {}, [10**400]], ids=range(4))
def test_json_that_is_no_tensor_is_no_translation(outputs):
    fake = Fake()
    fake.signatures = {"serving_default": FLOATS}
    fake.translate = lambda image: {"outputs": outputs}
    with listening("http", fake) as port, ServerTranslator(url_of("http", port)) as translator:
        assert "the translation cannot be read" in refusal(translator, noise())


def test_a_reason_is_made_fit_for_a_terminal(served):
    def refuse(file):
        raise Refused(
            "INVALID_ARGUMENT",
            "assertion failed: [Too \x1b[31mlarge]\n\t [[{{node a/b}}]]\u202e" + "long " * 999,
        )

    served.fake.translate = refuse
    message = refusal(served.open(), noise())
    assert r"(assertion failed: [Too \x1b[31mlarge]" in message and "node" not in message
