"""The REST half of the stand-in for TensorFlow Serving: its paths, JSON rules and error codes."""

import base64
import http.server
import json
import re
import threading
import urllib.parse
from http import HTTPStatus
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)
from tfi2i_export.server_session import SessionError

CONNECTIONS = 64
IDLE_SECONDS = 30

INVALID_ARGUMENT, UNIMPLEMENTED, INTERNAL = 3, 12, 13
# By the server's own table; what it does not name is its fault.
HTTP_STATUS = {1: 499, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 409, 11: 400}
HTTP_STATUS |= {12: 501, 14: 503, 16: 401}

_MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(_MODEL + ":(?P<method>classify|regress|predict)", re.IGNORECASE)
_GET = re.compile(_MODEL + "(?P<metadata>/metadata)?", re.IGNORECASE)

_FLOATS = (np.float32, np.float64)
_INTEGERS = (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint32, np.uint64)


def answer(models: Any, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    """(HTTP status, JSON) for a request; `models` is serving_stand_in.Models."""
    try:
        found = (_POST if method == "POST" else _GET).fullmatch(path)
        if not found:
            raise _invalid(f"Malformed request: {method} {path}")
        if method == "POST":
            return 200, _predicted(models, found, body)
        return 200, _told(models, found)
    except SessionError as error:
        return HTTP_STATUS.get(error.code, 500), json.dumps({"error": error.message}).encode()


def _invalid(message: str) -> SessionError:
    return SessionError(INVALID_ARGUMENT, message)


def _address(spec: Any, found: re.Match[str]) -> None:
    """Fills a ModelSpec with what a path says."""
    spec.name = urllib.parse.unquote(found["name"])
    if found["version"]:
        if len(found["version"]) > 19 or int(found["version"]) >= 2**63:
            raise _invalid(f"Failed to convert version: {found['version']} to numeric.")
        spec.version.value = int(found["version"])
    if found["label"]:
        spec.version_label = urllib.parse.unquote(found["label"])


def _told(models: Any, found: re.Match[str]) -> bytes:
    """The state or, for .../metadata, the signatures of a model."""
    if not found["metadata"]:
        asked = get_model_status_pb2.GetModelStatusRequest()
        _address(asked.model_spec, found)
        return _json(models.status(asked)).encode()
    wanted = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    _address(wanted.model_spec, found)
    response = models.metadata(wanted)
    known = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(known)
    return (
        f'{{"model_spec": {_json(response.model_spec)}, '
        f'"metadata": {{"signature_def": {_json(known)}}}}}'
    ).encode()


def _json(message: Any) -> str:
    return json_format.MessageToJson(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _predicted(models: Any, found: re.Match[str], body: bytes) -> bytes:
    if found["method"].lower() != "predict":
        raise SessionError(UNIMPLEMENTED, f"The stand-in has no {found['method']}.")
    request = predict_pb2.PredictRequest()
    _address(request.model_spec, found)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise _invalid("JSON Value: Is not object")
    signature = document.get("signature_name", "")
    if not isinstance(signature, str):
        raise _invalid("'signature_name' key must be a string value.")
    request.model_spec.signature_name = signature
    inputs = models.inputs(request.model_spec, signature)
    if ("instances" in document) == ("inputs" in document):
        raise _invalid("Missing 'inputs' or 'instances' key, or both are there")
    by_rows = "instances" in document
    given = _rows(document["instances"], inputs) if by_rows else _columns(document, inputs)
    for name, value in given.items():
        request.inputs[name].CopyFrom(_tensor(value, inputs[name].dtype))
    response = models.predict(request)
    return json.dumps(_answered(response.outputs, by_rows)).encode()


def _rows(instances: Any, inputs: Any) -> dict[str, list[Any]]:
    """The values of the row format by input, one for each instance."""
    if not isinstance(instances, list) or not instances:
        raise _invalid("No values in 'instances' array")
    named = _is_object(instances[0])
    if not named and len(inputs) > 1:
        raise _invalid("instances is a plain list, but expecting list of objects")
    for instance in instances:
        if named != _is_object(instance):
            raise _invalid("'instances' mixes objects and values")
        if named and set(instance) != set(inputs):
            raise _invalid(f"JSON object: keys must be equal to: {','.join(sorted(inputs))}")
    if named:
        return {name: [instance[name] for instance in instances] for name in inputs}
    return {next(iter(inputs)): instances}


def _columns(document: dict[str, Any], inputs: Any) -> dict[str, Any]:
    """The values of the columnar format by input; names that are no input's are ignored."""
    given = document["inputs"]
    if not _is_object(given):
        if len(inputs) > 1:
            raise _invalid("inputs is a plain value/list, but expecting an object")
        return {next(iter(inputs)): given}
    for name in inputs:
        if name not in given:
            raise _invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: given[name] for name in inputs}


def _is_object(value: Any) -> bool:
    """Names and values, not the one value {"b64": ...}."""
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value: dict[str, Any]) -> bool:
    return list(value) == ["b64"] and isinstance(value["b64"], str)


def _tensor(value: Any, dtype: int) -> Any:
    """A TensorProto of nested lists, all of one shape."""
    shape: list[int] = []
    inner = value
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    flat: list[Any] = [value]
    for side in shape:
        if not all(isinstance(one, list) and len(one) == side for one in flat):
            raise _invalid(f"Encountered list at unexpected size; expected size: {side}")
        flat = [item for one in flat for item in one]
    if any(isinstance(one, list) for one in flat):
        raise _invalid("Encountered list at unexpected level")
    kind = tf.as_dtype(dtype).as_numpy_dtype
    scalars = [_scalar(one, kind) for one in flat]
    if kind is object:
        return tf.make_tensor_proto(scalars, tf.string, shape)
    try:
        return tf.make_tensor_proto(np.array(scalars, kind).reshape(shape))
    except OverflowError as error:
        raise _invalid(f"JSON Value is not of expected type: {error}") from error


def _scalar(value: Any, kind: Any) -> Any:
    if isinstance(value, dict):
        if kind is not object or not _is_base64(value):
            raise _invalid("JSON Value is not formatted correctly for base64 data")
        try:
            padded = value["b64"] + "=" * (-len(value["b64"]) % 4)
            return base64.b64decode(padded, validate=True)
        except ValueError as error:
            raise _invalid("Unable to base64 decode") from error
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is object:
        fits = isinstance(value, str)
    elif kind in _FLOATS:
        fits = is_number
        if isinstance(value, int) and abs(value) >= 2 ** (np.finfo(kind).nmant + 1):
            raise _invalid(f"Cannot convert JSON value to {kind.__name__} without loss")
    elif kind in _INTEGERS:
        fits = is_number and isinstance(value, int)
    elif kind is np.bool_:
        fits = isinstance(value, bool)
    else:
        raise SessionError(UNIMPLEMENTED, f"Conversion of JSON Value to type: {kind.__name__}")
    if not fits:
        raise _invalid(f"JSON Value is not of expected type: {kind.__name__}")
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


def _answered(outputs: Any, by_rows: bool) -> dict[str, Any]:
    columns = {name: _values(name, tensor) for name, tensor in outputs.items()}
    several = len(columns) > 1
    if not by_rows:
        return {"outputs": columns if several else next(iter(columns.values()))}
    for name, values in columns.items():
        if not isinstance(values, list):
            raise _invalid(f"Tensor name: {name} has no shape information")
    if len({len(values) for values in columns.values()}) > 1:
        raise _invalid("Tensors have inconsistent batch sizes")
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return {"predictions": rows if several else next(iter(columns.values()))}


def _values(name: str, tensor: Any) -> Any:
    if tensor.dtype == tf.string.as_datatype_enum:
        if name.endswith("_bytes"):
            return [{"b64": base64.b64encode(one).decode("ascii")} for one in tensor.string_val]
        try:
            return [one.decode() for one in tensor.string_val]
        except UnicodeDecodeError as error:  # the server writes it, and nobody can parse its JSON
            raise SessionError(INTERNAL, f"{name} does not end in _bytes and is no text") from error
    array = tf.make_ndarray(tensor)
    if array.dtype in (np.float16, tf.bfloat16.as_numpy_dtype, np.uint16):
        raise _invalid(f"Failed to write JSON value for tensor type: {array.dtype}")
    return array.tolist()


class _Server(http.server.ThreadingHTTPServer):
    """Answers a bounded number of connections at a time; more wait."""

    daemon_threads = True
    request_queue_size = CONNECTIONS

    def __init__(self, address: tuple[str, int], handler: Any):
        super().__init__(address, handler)
        self._free = threading.BoundedSemaphore(CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._free.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()


def rest_server(models: Any, port: int, threads: int, largest_body: int) -> _Server:
    """An HTTP server on 127.0.0.1 that answers for `models`; call its serve_forever.

    Args:
        threads: Requests that are answered at a time.
        largest_body: In bytes; larger ones are answered with 413 and not read.
    """
    working = threading.BoundedSemaphore(threads)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = IDLE_SECONDS
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not re.fullmatch(r"[0-9]{1,18}", length):
                self._refuse(HTTPStatus.LENGTH_REQUIRED, "A body needs a Content-Length.")
            elif int(length) > largest_body:
                self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"Over {largest_body} bytes.")
            else:
                body = self.rfile.read(int(length))
                if len(body) < int(length):  # the client is gone
                    self.close_connection = True
                else:
                    self._answer(body)

        def _answer(self, body: bytes) -> None:
            path = self.path.partition("?")[0]
            if not path.lower().startswith("/v1/"):
                self._send(HTTPStatus.NOT_FOUND, b"")
                return
            with working:
                status, content = answer(models, self.command, path, body)
            self._send(status, content)

        def _refuse(self, status: int, message: str) -> None:
            self.close_connection = True  # its body is not read
            self._send(status, json.dumps({"error": message}).encode())

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *values: Any) -> None:
            """Nothing: the tests' output is not the place."""

    return _Server(("127.0.0.1", port), Handler)
