"""URLs and failures of a TensorFlow Serving server, for REST and gRPC alike.

`rest` and `grpc` each have a wire, with the same methods. A call ends within the
seconds it is given, or when the wire is closed by another thread, and it never tries twice. What
goes wrong is a `Failure`, which the client puts into a sentence.
"""

import contextlib
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from google.protobuf import json_format, message  # type: ignore[import-untyped]
from numpy.typing import NDArray
from tensorflow.core.protobuf import meta_graph_pb2

from tfi2i.errors import InputError
from tfi2i.terminal import printable
from tfi2i_export.inputs import Shape

LONGEST_REASON = 300
LARGEST_MESSAGE = 2**28  # bytes of a request or a reply
DESCRIPTION_LIMIT = 2**22  # bytes that a server may tell about a model

Image = NDArray[np.float32]
Inputs = Mapping[str, bytes | NDArray[np.float32]]
"""A picture file, or a row (1, ...), for each input by name."""

_WORD = r"\w[\w.+~-]*"
_URL = re.compile(
    r"(?P<scheme>(?P<wire>http|grpc)s?)://(?P<host>[\w.-]+|\[[\da-f:.]+\])(?::(?P<port>\d{1,5}))?"
    rf"(?P<models>/v1/models)?/(?P<name>{_WORD})"
    rf"(?:/versions/(?P<version>\d{{1,18}})|/labels/(?P<label>{_WORD}))?(?::predict)?/?",
    re.ASCII | re.IGNORECASE,
)


class Wire(Protocol):
    """The connections to one model on a server. Every call takes the seconds that it has.

    Attributes:
        most_numbers: Numbers of the largest image that goes into a message, either way.
    """

    most_numbers: int

    def close(self) -> None:
        """Ends the calls of all threads."""

    def states(self, seconds: float) -> list[tuple[str, str]]:
        """The state of each version of the model, such as AVAILABLE, and an error message."""

    def signatures(self, seconds: float) -> dict[str, meta_graph_pb2.SignatureDef]:
        """Inputs and outputs of the model by the signature's name."""

    def file(
        self, signature: str, inputs: Inputs, output: str, limit: int, seconds: float
    ) -> bytes:
        """The picture file of up to `limit` bytes that a signature makes of its inputs."""

    def image(
        self, signature: str, inputs: Inputs, output: str, shape: Shape, seconds: float
    ) -> Image:
        """The image of a shape (1, H, W, 3) that a signature makes of its inputs."""


class Failure(Exception):
    """Why there is no answer.

    Attributes:
        code: GRPC status' name, or a name of our own for what gRPC does not tell apart.
        reason: Reason in the server's words, made fit for a terminal.
    """

    def __init__(self, code: str, reason: str):
        super().__init__(code, reason)
        self.code = code
        self.reason = _shown(reason) or "no reason given"


def left_until(end: float) -> float:
    """Seconds until a point of `time.monotonic`.

    Raises:
        Failure: There are none.
    """
    seconds = end - time.monotonic()
    if seconds <= 0:
        raise Failure("DEADLINE_EXCEEDED", "")
    return seconds


@dataclass(frozen=True)
class Address:
    """A served model: the server, the model's name there, and perhaps a version or a label."""

    scheme: str
    place: str
    name: str
    version: int | None
    label: str | None

    @property
    def is_rest(self) -> bool:
        """Whether it is asked over HTTP."""
        return self.scheme.startswith("http")

    @property
    def is_secure(self) -> bool:
        """Whether over TLS."""
        return self.scheme.endswith("s")

    @property
    def url(self) -> str:
        """As the user writes it; that of REST is where the model's status is."""
        models = "/v1/models" if self.is_rest else ""
        version = "" if self.version is None else f"/versions/{self.version}"
        label = "" if self.label is None else f"/labels/{self.label}"
        return f"{self.scheme}://{self.place}{models}/{self.name}{version}{label}"


def parsed(url: str) -> Address:
    """The model that a URL means.

    Raises:
        InputError: It has another form.
    """
    found = _URL.fullmatch(url.strip())
    if found is None or not _is_consistent(found):
        raise InputError(
            f"{printable(_without_password(url), 200)!r} is no URL of a served model; write "
            "http://HOST:PORT/v1/models/NAME or grpc://HOST:PORT/NAME (with TLS: https, grpcs), "
            "and /versions/NUMBER or /labels/LABEL behind it for a certain version."
        )
    port = f":{found['port']}" if found["port"] else ""
    version = None if found["version"] is None else int(found["version"])
    scheme = found["scheme"].lower()
    return Address(scheme, found["host"] + port, found["name"], version, found["label"])


def _is_consistent(found: re.Match[str]) -> bool:
    """HTTP has a path and may leave out its port; gRPC has a port and no path."""
    is_rest = found["wire"].lower() == "http"
    port = int(found["port"] or (80 if is_rest else 0))
    return is_rest == bool(found["models"]) and 0 < port < 2**16


def _without_password(url: str) -> str:
    return re.sub(r"//.*@", "//…@", url, flags=re.DOTALL)


@contextlib.contextmanager
def reading(what: str) -> Iterator[None]:
    """Turns what goes wrong with a reply of another form into a failure."""
    other_form = (LookupError, TypeError, ValueError, AttributeError, message.Error)
    try:
        yield
    # SystemError: what protobuf makes of half a surrogate pair in a field's name.
    except (*other_form, json_format.Error, OverflowError, RecursionError, SystemError) as error:
        raise Failure("REPLY", f"{what} cannot be read") from error


def _shown(text: str) -> str:
    """Text of a stranger on one line, without TensorFlow's node names."""
    line = printable(" ".join(text[:4096].split()))
    line = re.sub(r" ?(\{\{.*?\}\}|\[\[.*?\]\])", "", line).strip()
    return line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 1]}…"
