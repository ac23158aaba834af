"""Asks a TensorFlow Serving server over HTTP, by the JSON that its REST interface speaks."""

import base64
import contextlib
import json
import queue
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import requests
import urllib3
from google.protobuf import json_format  # type: ignore[import-untyped]
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from tfi2i_export.inputs import Shape
from tfi2i_export.serving.replies import (
    NUMBER,
    file_in,
    image_in,
    largest_reply,
    numbers_to_json,
)
from tfi2i_export.serving.wire import (
    DESCRIPTION_LIMIT,
    LARGEST_MESSAGE,
    Address,
    Failure,
    Image,
    Inputs,
    Wire,
    left_until,
    reading,
)

LONGEST_ERROR = 2**16  # bytes of the JSON in which it says what went wrong

_BY_STATUS = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    413: "TOO_LARGE",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",  # a proxy's word for it
    503: "UNAVAILABLE",
}

Outcomes = queue.SimpleQueue[bytearray | Exception]
"""The first is the answer; closing puts in a failure at any time."""


class RestWire(Wire):
    """Sessions with a server, each used by one thread at a time.

    Every exchange has a thread of its own, which is left to itself when its time is up: the
    timeouts of sockets begin anew with every byte, and do not cover the look-up of the host.
    """

    most_numbers = LARGEST_MESSAGE // NUMBER

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
        document = self._described("", seconds)
        with reading("the status of the model"):
            return [
                (str(one["state"]), str(one.get("status", {}).get("error_message", "")))
                for one in document["model_version_status"]
            ]

    def signatures(self, seconds: float) -> dict[str, Any]:
        document = self._described("/metadata", seconds)
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
        end = time.monotonic() + seconds
        texts = {name: _to_json(value, end) for name, value in inputs.items()}
        if len(texts) == 1:  # which needs no name
            [row] = texts.values()
        else:
            row = _object(texts)
        question = f'{{"signature_name": {json.dumps(signature)}, "instances": [{row}]}}'
        limit = min(limit * 4 // 3 + 2**16, LARGEST_MESSAGE)
        reply = self._asked(":predict", question, limit, end)
        with reading("the translation"):
            return file_in(reply)

    def image(
        self, signature: str, inputs: Inputs, output: str, shape: Shape, seconds: float
    ) -> Image:
        end = time.monotonic() + seconds
        texts = {name: numbers_to_json(np.asarray(value), end) for name, value in inputs.items()}
        columns = _object(texts)
        question = f'{{"signature_name": {json.dumps(signature)}, "inputs": {columns}}}'
        limit = min(largest_reply(shape), LARGEST_MESSAGE)
        reply = self._asked(":predict", question, limit, end)
        with reading("the translation"):
            return image_in(reply, output, shape, end)

    def _described(self, path: str, seconds: float) -> dict[str, Any]:
        """The JSON object in which the server describes the model."""
        reply = self._asked(path, None, DESCRIPTION_LIMIT, time.monotonic() + seconds)
        with reading("its JSON"):
            document = json.loads(reply)
            if not isinstance(document, dict):
                raise TypeError
        return document

    def _asked(self, path: str, question: str | None, limit: int, end: float) -> bytearray:
        """The text that the server answers with; POST if there is a question."""
        body = None if question is None else question.encode()
        if body is not None and len(body) > LARGEST_MESSAGE:
            raise Failure("TOO_LARGE", f"{len(body)} bytes, {LARGEST_MESSAGE} at most are sent")
        seconds = left_until(end)
        answers: Outcomes = queue.SimpleQueue()
        with self._lock:
            if self._closed:
                raise Failure("CLOSED", "")
            self._waiting.add(answers)
        arguments = (answers, self._root + path, body, limit, end)
        threading.Thread(target=self._exchange, args=arguments, daemon=True).start()
        try:
            outcome = answers.get(timeout=seconds)
        except queue.Empty as error:
            raise Failure("DEADLINE_EXCEEDED", "") from error
        finally:
            with self._lock:
                self._waiting.discard(answers)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _exchange(
        self, answers: Outcomes, url: str, body: bytes | None, limit: int, end: float
    ) -> None:
        """Sends a request and hands over what comes back."""
        with self._lock:
            session = self._idle.pop() if self._idle else requests.Session()
        try:
            outcome: bytearray | Exception = _exchanged(session, url, body, limit, end)
        except Exception as error:  # whoever waits for the answer gets it
            outcome = error
        with self._lock:
            if self._closed or isinstance(outcome, Exception):
                session.close()
            else:
                self._idle.append(session)
        answers.put(outcome)


def _object(texts: Mapping[str, str]) -> str:
    """A JSON object of values that are JSON."""
    return f"{{{', '.join(f'{json.dumps(name)}: {text}' for name, text in texts.items())}}}"


def _to_json(value: Any, end: float) -> str:
    """A file, or the only row (1, ...) of numbers."""
    if isinstance(value, bytes):
        return json.dumps({"b64": base64.b64encode(value).decode("ascii")})
    return numbers_to_json(value[0], end)


def _exchanged(
    session: requests.Session, url: str, body: bytes | None, limit: int, end: float
) -> bytearray:
    """The body of the answer; a failure if there is none, it is too large or that of an error."""
    # No compression, so that the limit is one on memory; nor to another place than the user named.
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    method, seconds = "GET" if body is None else "POST", max(end - time.monotonic(), 1e-3)
    try:
        with session.request(
            method, url, None, body, headers, timeout=seconds, stream=True, allow_redirects=False
        ) as response:
            content = bytearray()
            for chunk in response.iter_content(2**16):
                content += chunk
                left_until(end)
                if len(content) > limit:
                    raise Failure("REPLY", f"more than the {limit} bytes that it can have")
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _failure(error) from error
    if response.status_code == 200:
        return content
    reason = f"HTTP {response.status_code} {response.reason}"
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
        if len(content) <= LONGEST_ERROR:
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
