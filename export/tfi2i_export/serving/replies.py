"""Numbers and files in JSON, written and read within bounds of memory and time.

A server is a stranger. What Python's parser makes of text takes up to a hundred times its memory,
and nothing stops it before its end; so large images are written and read row by row, and large
files are taken out of their reply without it.
"""

import base64
import json
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfi2i_export.inputs import Shape
from tfi2i_export.serving.wire import Failure, Image, left_until

WHOLE = 2**22  # bytes of JSON that are parsed at once
NUMBER = 32  # bytes of a number in JSON, with room
_PIECE = 2**16  # numbers that are written at once

_FILE = re.compile(
    rb'\s{0,64}\{\s{0,64}"predictions"\s{0,64}:\s{0,64}\[\s{0,64}\{\s{0,64}"b64"\s{0,64}:\s{0,64}'
    rb'"([A-Za-z0-9+/=\\]*)"\s{0,64}\}\s{0,64}\]\s{0,64}\}\s{0,64}'
)
_IMAGE = re.compile(
    rb'\s{0,64}\{\s{0,64}"outputs"\s{0,64}:\s{0,64}(?:\{\s{0,64}"(\w{1,64})"\s{0,64}:\s{0,64})?'
    rb"\[\s{0,64}\["
)
_BETWEEN = re.compile(rb"[\s,]{0,64}")
_END = re.compile(rb"[\s\]}]{0,256}")


def numbers_to_json(values: NDArray[np.float32], end: float) -> str:
    """An array of any shape as nested JSON lists.

    Raises:
        Failure: The time is over before it is written.
    """
    return "".join(_written(values, end))


def _written(values: NDArray[np.float32], end: float) -> Iterator[str]:
    left_until(end)
    if values.size <= _PIECE:
        yield json.dumps(values.tolist())
        return
    parts: Any = values
    if values.ndim == 1:
        parts = [values[i : i + _PIECE] for i in range(0, len(values), _PIECE)]
    for i, part in enumerate(parts):
        yield ", " if i else "["
        if values.ndim == 1:
            yield json.dumps(part.tolist())[1:-1]
        else:
            yield from _written(part, end)
    yield "]"


def file_in(reply: bytes | bytearray) -> bytes:
    """The file in a reply to a row.

    Raises:
        ValueError, TypeError, LookupError: There is none.
    """
    if len(reply) <= WHOLE:
        [answer] = json.loads(reply)["predictions"]
        text = answer["b64"]
    else:
        found = _FILE.fullmatch(reply)
        if found is None:
            raise ValueError("no file alone")
        text = found[1].replace(b"\\", b"")  # some write \/
    return base64.b64decode(text, validate=True)


def image_in(reply: bytes | bytearray, output: str, shape: Shape, end: float) -> Image:
    """The image of a shape (1, H, W, C) in a reply to columns.

    Raises:
        ValueError, TypeError, LookupError: There is none.
        Failure: It has another shape, or the time is over.
    """
    if len(reply) > WHOLE:
        return _by_rows(reply, output, shape, end)
    # A single output comes without its name, from some servers with it.
    outputs = json.loads(reply)["outputs"]
    image = _numbers(outputs[output] if isinstance(outputs, dict) else outputs)
    if image.shape != shape:
        raise Failure("REPLY", f"a shape of {image.shape} instead of {shape}")
    return image


def _by_rows(reply: bytes | bytearray, output: str, shape: Shape, end: float) -> Image:
    head = _IMAGE.match(reply)
    if head is None or head[1] not in (None, output.encode()):
        raise ValueError("no image alone")
    _, height, width, channels = shape
    longest = NUMBER * width * channels + 2**10
    decode = json.JSONDecoder().raw_decode
    image, at = np.empty(shape, np.float32), head.end()
    for y in range(height):
        left_until(end)
        gap = _BETWEEN.match(reply, at)
        start = gap.end() if gap else at
        row, length = decode(reply[start : start + longest].decode("ascii"))
        numbers = _numbers(row)
        if numbers.shape != (width, channels):
            raise Failure("REPLY", f"a row of {numbers.shape} instead of {(width, channels)}")
        image[0, y], at = numbers, start + length
    if len(reply) - at > 256 or not _END.fullmatch(reply, at):
        raise Failure("REPLY", f"more than the {height} rows of {shape}")
    return image


def _numbers(nested: Any) -> Image:
    values = np.asarray(nested)
    if values.dtype.kind not in "iuf":  # NumPy makes numbers of true, and of text, too
        raise TypeError("no numbers")
    with np.errstate(over="ignore"):  # which becomes infinite
        return values.astype(np.float32)


def largest_reply(shape: Shape) -> int:
    """Bytes of an image of a shape in JSON, with room."""
    return NUMBER * math.prod(shape) + 2**16
