"""A fake TensorFlow Serving, for tests of its client alone: REST and gRPC as a test tells it."""

import base64
import contextlib
import http.server
import io
import json
import threading
from concurrent import futures

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


def noise(height=33, width=45, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def refusal(call, *arguments, **options) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert message.endswith(".") and message.isprintable() and len(message) < 700, message
    return message
