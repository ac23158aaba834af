"""Asks a TensorFlow Serving server over HTTP, by the JSON that its REST interface speaks."""

import base64
import contextlib
import json
import math
import queue
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import requests
import urllib3
from google.protobuf import json_format  # type: ignore[import-untyped]
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from tfi2i_export.inputs import Shape
from tfi2i_export.serving.wire import Address, Failure, Image, Inputs, Wire, reading

DESCRIPTION_LIMIT = 2**24  # bytes that a server may tell about a model

_BY_STATUS = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    413: "TOO_LARGE",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",  # a proxy's word for it
    503: "UNAVAILABLE",
}

Outcomes = queue.SimpleQueue[bytes | Exception]
"""The first is the answer; closing puts in a failure at any time."""


class RestWire(Wire):
    """Sessions with a server, each used by one thread at a time.

    Every exchange has a thread of its own, which is left to itself when its time is up: the
    timeouts of sockets begin anew with every byte, and do not cover the look-up of the host.
    """

    def __init__(self, address: Address):
        self._root = address.url
        self._lock = threading.Lock()
        self._closed = False
        self._idle: list[requests.Session] = []
        self._waiting: set[Outcomes] = set()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for answers in self._waiting:
                answers.put(Failure("CLOSED", ""))
            while self._idle:
                self._idle.pop().close()

    def states(self, seconds: float) -> list[tuple[str, str]]:
        document = self._asked("", None, DESCRIPTION_LIMIT, seconds)
        with reading("the status of the model"):
            return [
                (str(one["state"]), str(one.get("status", {}).get("error_message", "")))
                for one in document["model_version_status"]
            ]

    def signatures(self, seconds: float) -> dict[str, Any]:
        document = self._asked("/metadata", None, DESCRIPTION_LIMIT, seconds)
        with reading("the description of the model"):
            found = document["metadata"]["signature_def"]
            # The second name is OpenVINO's.
            found = found["signature_def"] if "signature_def" in found else found["signatureDef"]
            return {
                name: json_format.ParseDict(values, SignatureDef(), ignore_unknown_fields=True)
                for name, values in found.items()
            }

    def file(
        self, signature: str, inputs: Inputs, output: str, limit: int, seconds: float
    ) -> bytes:
        row: Any = {
            name: {"b64": base64.b64encode(value).decode("ascii")}
            if isinstance(value, bytes)
            else value[0].tolist()
            for name, value in inputs.items()
        }
        if len(row) == 1:  # which needs no name
            [row] = row.values()
        question = {"signature_name": signature, "instances": [row]}
        document = self._asked(":predict", question, limit * 4 // 3 + 2**16, seconds)
        with reading("the translation"):
            [answer] = document["predictions"]
            return base64.b64decode(answer["b64"], validate=True)

    def image(
        self, signature: str, inputs: Inputs, output: str, shape: Shape, seconds: float
    ) -> Image:
        columns = {name: np.asarray(value).tolist() for name, value in inputs.items()}
        question = {"signature_name": signature, "inputs": columns}
        limit = 32 * math.prod(shape) + 2**16  # characters of a number, with room
        document = self._asked(":predict", question, limit, seconds)
        with reading("the translation"):
            # A single output comes without its name, from some servers with it.
            outputs = document["outputs"]
            outputs = outputs[output] if isinstance(outputs, dict) else outputs
            translation = np.asarray(outputs, np.float32)
            if translation.shape != shape:
                raise Failure("REPLY", f"a shape of {translation.shape} instead of {shape}")
            return translation

    def _asked(
        self, path: str, question: Mapping[str, Any] | None, limit: int, seconds: float
    ) -> dict[str, Any]:
        """The JSON object that the server answers with; POST if there is a question."""
        body = None if question is None else json.dumps(question).encode()
        answers: Outcomes = queue.SimpleQueue()
        with self._lock:
            if self._closed:
                raise Failure("CLOSED", "")
            self._waiting.add(answers)
        arguments = (answers, self._root + path, body, limit, max(seconds, 1e-3))
        threading.Thread(target=self._exchange, args=arguments, daemon=True).start()
        try:
            outcome = answers.get(timeout=max(seconds, 1e-3))
        except queue.Empty as error:
            raise Failure("DEADLINE_EXCEEDED", "") from error
        finally:
            with self._lock:
                self._waiting.discard(answers)
        if isinstance(outcome, Exception):
            raise outcome
        with reading("its JSON"):
            document = json.loads(outcome)
            if not isinstance(document, dict):
                raise TypeError
        return document

    def _exchange(
        self, answers: Outcomes, url: str, body: bytes | None, limit: int, seconds: float
    ) -> None:
        """Sends a request and hands over what comes back."""
        with self._lock:
            session = self._idle.pop() if self._idle else requests.Session()
        try:
            outcome: bytes | Exception = _exchanged(session, url, body, limit, seconds)
        except Exception as error:  # whoever waits for the answer gets it
            outcome = error
        with self._lock:
            if self._closed or isinstance(outcome, Exception):
                session.close()
            else:
                self._idle.append(session)
        answers.put(outcome)


def _exchanged(
    session: requests.Session, url: str, body: bytes | None, limit: int, seconds: float
) -> bytes:
    """The body of the answer; a failure if there is none, it is too large or that of an error."""
    # No compression, so that the limit is one on memory; nor to another place than the user named.
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    method = "GET" if body is None else "POST"
    try:
        with session.request(
            method, url, None, body, headers, timeout=seconds, stream=True, allow_redirects=False
        ) as response:
            content = bytearray()
            for chunk in response.iter_content(2**16):
                content += chunk
                if len(content) > limit:
                    raise Failure("REPLY", f"more than the {limit} bytes that it can have")
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _failure(error) from error
    if response.status_code == 200:
        return bytes(content)
    reason = f"HTTP {response.status_code} {response.reason}"
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
        reason = str(json.loads(content)["error"])
    raise Failure(_BY_STATUS.get(response.status_code, "OTHER"), reason)


def _failure(error: Exception) -> Failure:
    innermost: BaseException = error
    while innermost.__cause__ or innermost.__context__:
        innermost = innermost.__cause__ or innermost.__context__ or innermost
    reason = getattr(innermost, "strerror", None) or str(innermost) or type(innermost).__name__
    if isinstance(error, requests.Timeout):
        return Failure("DEADLINE_EXCEEDED", reason)
    if isinstance(error, requests.exceptions.SSLError):
        return Failure("TLS", reason)
    about = getattr(error.args[0], "reason", None) if error.args else None
    parsing = isinstance(error, urllib3.exceptions.LocationParseError)
    if parsing or isinstance(about, urllib3.exceptions.NameResolutionError):
        return Failure("UNKNOWN_HOST", reason)
    return Failure("UNAVAILABLE", reason)
