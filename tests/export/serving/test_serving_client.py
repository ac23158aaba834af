"""The client of TensorFlow Serving, against a fake that speaks REST and gRPC as a test tells it."""

import base64
import contextlib
import http.server
import io
import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent import futures
from pathlib import Path
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format
from PIL import Image
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from tfi2i_export.serving import client as serving_client
from tfi2i_export.serving.client import ServerTranslator
from tfi2i_export.serving.wire import parsed

from tfi2i.cli import main
from tfi2i.errors import InputError
from tfi2i.pictures.files import read_picture

HTTP = {"INVALID_ARGUMENT": 400, "NOT_FOUND": 404, "RESOURCE_EXHAUSTED": 429, "INTERNAL": 500}
HTTP |= {"UNAVAILABLE": 503, "UNIMPLEMENTED": 501, "TOO_LARGE": 413}


class Refused(Exception):
    """`Refused("NOT_FOUND", "reason")`: what the fake answers instead."""


def signature(source: str, target: str, dtype: int, shape=()) -> SignatureDef:
    found = SignatureDef()
    for tensors, name in ((found.inputs, source), (found.outputs, target)):
        tensors[name].dtype = dtype
        for side in shape:
            tensors[name].tensor_shape.dim.add(size=side)
    return found


FILES = signature("image_bytes", "image_bytes", types_pb2.DT_STRING, [-1])
FLOATS = signature("image", "translation", types_pb2.DT_FLOAT, [-1, -1, -1, 3])


def png(pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def inverted(value):
    if isinstance(value, bytes):
        return png(255 - read_picture(value).pixels)
    return 255 - value


class Fake:
    """What a server holds; a test replaces what is to go wrong."""

    def __init__(self):
        self.states = [(1, "AVAILABLE", "")]
        self.signatures = {"serving_default": FILES, "predict_tensor": FLOATS}
        self.translate = inverted  # file -> file, (N, H, W, 3) -> (N, H, W, 3)
        self.calls = []  # (model and version or label, signature, value)
        self.refusals = {}  # of the status, of the metadata

    def told(self, what):
        if what in self.refusals:
            raise self.refusals[what]

    def predicted(self, model, name, value):
        self.calls.append((model, name, value))
        return self.translate(value)


def rest_handler(fake: Fake):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments):
            return

        def answer(self, make):
            try:
                status, body = 200, make()
            except Refused as refused:
                status = HTTP[refused.args[0]]
                body = {"error": refused.args[1]}
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            with contextlib.suppress(OSError):  # the client has enough
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def do_GET(self):
            self.answer(self.metadata if self.path.endswith("/metadata") else self.status)

        def status(self):
            fake.told("status")
            versions = [
                {"version": str(v), "state": state, "status": {"error_message": message}}
                for v, state, message in fake.states
            ]
            return {"model_version_status": versions}

        def metadata(self):
            fake.told("metadata")
            plain = {
                name: json_format.MessageToDict(one, preserving_proto_field_name=True)
                for name, one in fake.signatures.items()
            }
            return {"metadata": {"signature_def": {"signature_def": plain}}}

        def do_POST(self):
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(lambda: self.predict(question))

        def predict(self, question):
            model = self.path.removeprefix("/v1/models/").removesuffix(":predict")
            name = question["signature_name"]
            if "instances" in question:
                [row] = question["instances"]
                answer = fake.predicted(model, name, base64.b64decode(row["b64"]))
                if isinstance(answer, dict):
                    return answer
                return {"predictions": [{"b64": base64.b64encode(answer).decode()}]}
            answer = fake.predicted(model, name, np.asarray(question["inputs"]["image"]))
            return answer if isinstance(answer, dict) else {"outputs": answer.tolist()}

    return Handler


class GrpcFake(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    def __init__(self, fake: Fake):
        self.fake = fake

    def answer(self, make, context):
        try:
            return make()
        except Refused as refused:
            code = refused.args[0].replace("TOO_LARGE", "RESOURCE_EXHAUSTED")
            context.abort(grpc.StatusCode[code], refused.args[1])

    def GetModelStatus(self, request, context):  # noqa: N802
        def make():
            self.fake.told("status")
            reply = get_model_status_pb2.GetModelStatusResponse()
            for version, state, message in self.fake.states:
                one = reply.model_version_status.add(version=version)
                one.state = one.State.Value(state)
                one.status.error_message = message
            return reply

        return self.answer(make, context)

    def GetModelMetadata(self, request, context):  # noqa: N802
        def make():
            self.fake.told("metadata")
            found = get_model_metadata_pb2.SignatureDefMap()
            for name, one in self.fake.signatures.items():
                found.signature_def[name].CopyFrom(one)
            reply = get_model_metadata_pb2.GetModelMetadataResponse()
            reply.metadata["signature_def"].Pack(found)
            return reply

        return self.answer(make, context)

    def Predict(self, request, context):  # noqa: N802
        spec = request.model_spec
        which = spec.WhichOneof("version_choice")
        number = f"/versions/{spec.version.value}" if which == "version" else ""
        label = f"/labels/{spec.version_label}" if which == "version_label" else ""

        def make():
            [(alias, tensor)] = request.inputs.items()
            is_file = tensor.dtype == types_pb2.DT_STRING
            value = tensor.string_val[0] if is_file else tf.make_ndarray(tensor)
            answer = self.fake.predicted(spec.name + number + label, spec.signature_name, value)
            if isinstance(answer, predict_pb2.PredictResponse):
                return answer
            reply = predict_pb2.PredictResponse()
            made = tf.make_tensor_proto([answer] if is_file else answer)
            reply.outputs["image_bytes" if is_file else "translation"].CopyFrom(made)
            return reply

        return self.answer(make, context)


@contextlib.contextmanager
def listening(kind: str, fake: Fake, port=0, *, context=None, handler=None):
    """The port of a server of one kind."""
    if kind == "http":
        handler = handler or rest_handler(fake)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
        server.daemon_threads = True
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
        return
    unlimited = [(f"grpc.max_{way}_message_length", -1) for way in ("receive", "send")]
    server = grpc.server(futures.ThreadPoolExecutor(8), options=unlimited)
    servicer = GrpcFake(fake)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def url_of(kind: str, port: int, model: str = "m") -> str:
    return f"{kind}://127.0.0.1:{port}/{'v1/models/' if kind.startswith('http') else ''}{model}"


@pytest.fixture(params=["http", "grpc"])
def kind(request, monkeypatch):
    monkeypatch.setattr(serving_client, "FIRST_PAUSE", 0.02)
    return request.param


@pytest.fixture
def served(kind):
    """A server's content and URL; `open(...)` makes a client that is closed at last."""
    fake = Fake()
    with listening(kind, fake) as port, contextlib.ExitStack() as stack:

        def opened(model: str = "m", **options):
            return stack.enter_context(ServerTranslator(url_of(kind, port, model), **options))

        yield SimpleNamespace(fake=fake, url=url_of(kind, port), open=opened)


def noise(height=33, width=45, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def refusal(call, *arguments, **options) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert message.endswith(".") and message.isprintable() and len(message) < 700, message
    return message


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
    assert "secret" not in refusal(parsed, "http://me:secret@h:8501/v1/models/m")


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
    served.fake.translate = lambda image: np.float32([-3, 100.6, 300]) + 0 * image
    answer = served.open()(noise())
    assert (answer == [0, 101, 255]).all()


def test_files_are_preferred_and_serving_default_among_equals(served):
    served.fake.signatures = {"serving_default": FLOATS, "z": FILES}
    served.open()(noise())
    served.fake.signatures = {"a": FILES, "serving_default": FILES}
    served.open()(noise())
    assert [call[1] for call in served.fake.calls] == ["z", "serving_default"]


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


# attempts


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_what_passes_is_tried_again(served, code):
    left = [Refused(code, "queue is full")] * 2

    def translate(file):
        if left:
            raise left.pop()
        return inverted(file)

    served.fake.translate = translate
    np.testing.assert_array_equal(served.open()(noise()), 255 - noise())
    assert len(served.fake.calls) == 3


@pytest.mark.parametrize(
    ("code", "attempts", "said"),
    [
        ("UNAVAILABLE", 3, "does not answer (why)"),
        ("RESOURCE_EXHAUSTED", 3, "overloaded (why)"),
        ("INVALID_ARGUMENT", 1, "refused the picture (why)"),
        ("NOT_FOUND", 1, "no such model (why)"),
        ("INTERNAL", 1, "reports an error (why)"),
    ],
)
def test_the_number_of_attempts_depends_on_the_reason(served, code, attempts, said):
    def refuse(file):
        raise Refused(code, "why")

    served.fake.translate = refuse
    assert said in refusal(served.open(), noise())
    assert len(served.fake.calls) == attempts


def test_a_message_over_a_limit_is_not_sent_again(served):
    def refuse(file):
        raise Refused("TOO_LARGE", "Received message larger than max (5 vs. 4)")

    served.fake.translate = refuse
    message = refusal(served.open(), noise())
    assert "the picture is too large for the server or a proxy before it (Received" in message
    assert len(served.fake.calls) == 1


def test_attempts_end_with_the_deadline(served, monkeypatch):
    monkeypatch.setattr(serving_client, "FIRST_PAUSE", 0.1)

    def refuse(file):
        raise Refused("UNAVAILABLE", "why")

    served.fake.translate = refuse
    translator = served.open(deadline_seconds=1.0, attempts=1000)
    started = time.monotonic()
    assert "does not answer (why)" in refusal(translator, noise())
    assert time.monotonic() - started < 2
    assert 3 <= len(served.fake.calls) <= 6, "each pause is about twice the last one"


def test_a_server_that_comes_back_is_found(kind, monkeypatch):
    # All attempts are over before gRPC itself would connect again, which is after a second.
    monkeypatch.setattr(serving_client, "FIRST_PAUSE", 0.25)
    fake = Fake()
    with listening(kind, fake) as port:
        translator = ServerTranslator(url_of(kind, port))
        translator(noise())
    with contextlib.ExitStack() as stack, translator:
        again = threading.Timer(0.05, lambda: stack.enter_context(listening(kind, fake, port)))
        again.start()
        np.testing.assert_array_equal(translator(noise()), 255 - noise())
        again.join()


def test_a_server_that_is_down_is_named(kind):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = url_of(kind, unused.getsockname()[1])
        message = refusal(ServerTranslator, url)
    assert message.startswith(f"{url}: the server does not answer (")
    assert "refused" in message and "8500" in message


def test_an_unknown_host_is_named(kind):
    for host in ("nosuch.invalid", "a..b"):
        url = url_of(kind, 8500).replace("127.0.0.1", host)
        assert "there is no such host (" in refusal(ServerTranslator, url, attempts=1)


# deadlines and the end


@contextlib.contextmanager
def silent():
    """The port of a server that takes every connection and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield server.getsockname()[1]


def test_a_silent_server_is_given_up_in_time(kind):
    with silent() as port:
        started = time.monotonic()
        message = refusal(ServerTranslator, url_of(kind, port), deadline_seconds=0.4)
        assert 0.3 < time.monotonic() - started < 1.5
    assert "no answer within 0.4 seconds" in message and "--deadline" in message


def test_a_slow_answer_is_given_up_in_time(served):
    go = threading.Event()
    served.fake.translate = lambda file: go.wait(5) and b""
    translator = served.open(deadline_seconds=0.5)
    started = time.monotonic()
    assert "no answer within 0.5 seconds" in refusal(translator, noise())
    assert time.monotonic() - started < 1.5
    assert len(served.fake.calls) == 1, "no second attempt"
    go.set()


def test_an_answer_that_trickles_in_is_given_up_in_time():
    stop = threading.Event()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def trickle():
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
                while not stop.wait(0.05):
                    connection.sendall(b" ")

        thread = threading.Thread(target=trickle)
        thread.start()
        url = url_of("http", server.getsockname()[1])
        started = time.monotonic()
        assert "no answer within 0.5" in refusal(ServerTranslator, url, deadline_seconds=0.5)
        assert time.monotonic() - started < 1.5
        stop.set()
        thread.join()


def test_closing_ends_what_other_threads_wait_for(served):
    go, begun = threading.Event(), threading.Event()
    served.fake.translate = lambda file: begun.set() or go.wait(5) and b""
    translator = served.open()
    with futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(refusal, translator, noise())
        assert begun.wait(5)
        started = time.monotonic()
        translator.close()
        assert "closed by this program" in waiting.result()
        assert time.monotonic() - started < 1
    go.set()
    assert "closed by this program" in refusal(translator, noise())
    translator.close()


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


# TLS


def test_a_server_without_tls_is_told_apart(kind):
    with listening(kind, Fake()) as port:
        message = refusal(ServerTranslator, url_of(f"{kind}s", port))
    assert "no trusted connection (" in message and "http:// or grpc://" in message


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl to make a certificate")
def test_certificates_are_verified(tmp_path, monkeypatch):
    files = [str(tmp_path / name) for name in ("key.pem", "cert.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        + ["-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext"]
        + ["subjectAltName=IP:127.0.0.1", "-keyout", files[0], "-out", files[1]],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1], files[0])
    with listening("http", Fake(), context=context) as port:
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
        for wire in ("https", "grpcs"):
            message = refusal(ServerTranslator, url_of(wire, port))
            assert "no trusted connection (" in message and "CERTIFICATE" in message.upper()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", files[1])
        with ServerTranslator(url_of("https", port)) as translator:
            np.testing.assert_array_equal(translator(noise()), 255 - noise())


# the command line


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.png", "c.jpg", "deep/d.webp")):
        Image.fromarray(noise(seed=i)).save(folder / name)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(8, 16)).save(folder / "turned.jpg", exif=exif)
    clear = np.dstack([noise(), np.zeros((33, 45), np.uint8)])
    Image.fromarray(clear).save(folder / "transparent.png")
    return folder


def test_translate_with_a_server_takes_pictures_alone(served, photos, tmp_path):
    server = ["--server", served.url]
    assert main(["translate", *server, str(photos), "--out", str(tmp_path / "1")]) == 0
    for name in ("a.png", "b.png", "c.jpg", "deep/d.webp"):
        expected = 255 - read_picture(photos / name).pixels.astype(int)
        got = read_picture(tmp_path / "1" / name).pixels
        assert np.abs(got - expected).mean() < (3 if name.endswith("jpg") else 1e-9)
    turned = read_picture(tmp_path / "1" / "turned.jpg").pixels
    assert turned.shape == (16, 8, 3)
    assert read_picture(tmp_path / "1" / "transparent.png").alpha.max() == 0
    one, two = str(photos / "a.png"), str(photos / "b.png")
    assert main(["translate", one, *server, "--out", str(tmp_path / "2")]) == 0
    assert main(["translate", one, two, "--out", str(tmp_path / "3"), *server]) == 0
    assert main(["translate", *server, one, two, "--out", str(tmp_path / "4")]) == 0
    for name, count in (("2", 1), ("3", 2), ("4", 2)):
        assert len(list((tmp_path / name).iterdir())) == count


def test_a_picture_that_the_server_refuses_is_named_and_the_others_are_done(
    served, photos, tmp_path, capsys
):
    def translate(file):
        if read_picture(file).pixels.shape == (16, 8, 3):
            raise Refused("INVALID_ARGUMENT", "too \x1b[31mbeautiful")
        return inverted(file)

    served.fake.translate = translate
    (photos / "broken.png").write_bytes(b"no picture")
    command = ["translate", "--server", served.url, str(photos), "--out", str(tmp_path / "out")]
    assert main([*command, "--workers", "3"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [Path(line.split(":")[0].split(" is ")[0]).name for line in lines[:2]] == [
        "broken.png",
        "turned.jpg",
    ]
    assert r"too \x1b[31mbeautiful" in lines[1]
    assert lines[2].endswith("Translated 5 pictures into " + str(tmp_path / "out") + ", 2 failed.")


def test_what_does_not_go_with_a_server_is_refused(served, photos, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("system: NICEGAN")
    server, out = ["--server", served.url], ["--out", str(tmp_path / "out")]
    for arguments, said in (
        ([*server, str(photos), "--direction", "b2a"], "--direction is decided by the model"),
        ([*server, str(photos), "--tile", "64"], "--tile is decided by the model"),
        ([*server, str(tmp_path / "run"), str(photos)], "is a model, and the server has its own"),
        ([*server, "a2b.keras", str(photos)], "is a model, and the server has its own"),
        ([*server, str(photos), "--workers", "0"], "At least 1 worker"),
        ([*server, str(photos), "--deadline", "nan"], "deadline is a number of seconds"),
        (server, "nothing to translate"),
        (["run", str(photos), "--workers", "2"], "--workers goes with --server"),
        (["run", str(photos), "--deadline", "2"], "--deadline goes with --server"),
        (["--server", "localhost:8501", str(photos)], "no URL of a served model"),
    ):
        assert main(["translate", *arguments, *out]) == 2
        shown = capsys.readouterr().err
        assert said in shown and shown.count("\n") == 1, shown
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_stopping_does_not_wait_for_the_server(photos, tmp_path):
    go, fake = threading.Event(), Fake()
    fake.translate = lambda file: go.wait(60) and b""
    with listening("http", fake) as port:
        command = [sys.executable, "-m", "tfi2i.cli", "translate", "--server"]
        command += [url_of("http", port), str(photos), "--out", str(tmp_path / "out")]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            limit = time.monotonic() + 60
            while not fake.calls and time.monotonic() < limit:
                time.sleep(0.05)
            assert fake.calls
            started = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
            assert time.monotonic() - started < 10
            assert (process.returncode, err) == (130, "tfi2i: error: stopped.\n")
        finally:
            process.kill()
            process.wait()
            go.set()
