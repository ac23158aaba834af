"""Translates pictures by a model on a TensorFlow Serving server, over REST or gRPC.

    with ServerTranslator("http://localhost:8501/v1/models/a2b-saved_model") as translate:
        painting = translate(photograph)  # pixels (H, W, 3) uint8 -> the same

A picture travels as a PNG file, which is exact and small, if the model has a signature for files
(`image_bytes`); otherwise as floats (`image` -> `translation`), for servers that decode no files,
such as OpenVINO Model Server. A style, a label or another input besides the picture goes along with
every one. What a server answers is no more trusted than any picture file.
"""

import itertools
import math
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from tensorflow.core.framework import types_pb2

from tfi2i.errors import InputError
from tfi2i.networks.strides import LARGEST_MULTIPLE, USUAL_MULTIPLE
from tfi2i.pictures.channels import CHANNELS
from tfi2i.pictures.pixels import are_pixels, eight_bit
from tfi2i.pictures.tiles import Pixels, padded, padded_size
from tfi2i_export.inputs import Array, Shape, count_of, fitted, require_all, row
from tfi2i_export.saved_model.picture_files import LARGEST as LARGEST_PICTURE
from tfi2i_export.serving.pictures import levels_in, picture_in, png_of
from tfi2i_export.serving.wire import Address, Failure, Inputs, Wire, left_until, parsed
from tfi2i_export.tflite.interpreter import IMAGE_BYTES, INPUT, OUTPUT

FIRST_PAUSE = 0.5
"""Seconds before the second attempt, at most; before each further one twice as many."""

LARGEST_FILE = 2**26  # bytes of a sampler's picture
# Of inputs besides the picture; more and longer names would fill a message.
MOST_INPUTS = 8
LONGEST_NAME = 40

Answer = TypeVar("Answer")

# What `saved_model.answering` refuses sides with.
MULTIPLE = re.compile(r"multiples of (\d{1,4}) from")

# What passes by itself: a server that restarts, a full queue.
_PASSING = {"UNAVAILABLE", "RESOURCE_EXHAUSTED"}
_SENTENCES = {
    "UNAVAILABLE": "the server does not answer ({reason}); start it, or check host and port: TF "
    "Serving takes gRPC on 8500 and REST on 8501 unless told otherwise",
    "UNKNOWN_HOST": "there is no such host ({reason}); check its name",
    "TLS": "there is no trusted connection ({reason}); use http:// or grpc:// for a server without "
    "TLS, and name the certificates of your own authority by REQUESTS_CA_BUNDLE (https) or "
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH (grpcs)",
    "DEADLINE_EXCEEDED": "no answer within {seconds:g} seconds; allow more (--deadline), or send "
    "smaller pictures",
    "NOT_FOUND": "the server has no such model ({reason}); check the model's name and version",
    "LOADING": "the model is still being loaded; try again in a moment",
    "UNLOADED": "the server could not load the model or has unloaded it ({reason}); its log says "
    "more",
    "SAMPLER": "the model makes no pictures by itself ({reason}); translate with it",
    "SIGNATURE": "the model takes no pictures ({reason}); serve one that was written by `tfi2i "
    "export RUN --format saved_model`",
    "SIZE": "the model's pictures are too large to travel as numbers ({reason}); serve one with a "
    "signature of picture files, or of smaller pictures",
    "INVALID_ARGUMENT": "the server refused the picture ({reason}); scale it down",
    "TOO_LARGE": "the picture is too large for the server or a proxy before it ({reason}); scale "
    "it down, or raise that limit",
    "RESOURCE_EXHAUSTED": "the server is overloaded ({reason}); try again with fewer workers",
    "REPLY": "the reply is not what TF Serving gives for a model of tfi2i ({reason}); check what "
    "is served there",
    "CLOSED": "the connection was closed by this program; make a new translator",
}
_OTHERWISE = "the server reports an error ({reason}); its log says more"


@dataclass(frozen=True)
class _Signature:
    """A signature to use.

    Attributes:
        name: Name that the server knows it by.
        of_files: True where it takes picture files, false for floats.
        size: Height and width that it takes, None where it takes any.
        extra: Shapes (1, ...) of the inputs besides the picture by name.
        channels: Channels of the pictures that it takes and of those that it makes.
    """

    name: str
    of_files: bool
    size: tuple[int | None, int | None] = (None, None)
    extra: Mapping[str, Shape] = field(default_factory=dict)
    channels: tuple[int, int] = (3, 3)


class ServerTranslator:
    """A served model as a function: pixels (H, W, 3) uint8 -> the same, from any number of threads.

    Used as a context manager, or closed; that ends what other threads wait for, too.

    Args:
        url: Http(s)://HOST:PORT/v1/models/NAME or grpc(s)://HOST:PORT/NAME, either with
            /versions/N or /labels/LABEL behind it.
        values: Values (...) of the inputs besides the picture by name, for all pictures.
        deadline_seconds: Seconds for each picture, connecting and all attempts included.
        attempts: Number of times that a picture is sent while the server is away or overloaded.
        by_tensor: True where pictures go as floats although the model takes files. Files hold the
            numbers that the model's training has seen, floats are black to white.

    Raises:
        InputError: The URL is not such a one, nobody answers there, or the model is not there, not
            ready, or none that translates pictures; or a value is missing or does not fit.
    """

    takes_picture = True

    def __init__(
        self,
        url: str,
        *,
        values: Mapping[str, ArrayLike] | None = None,
        deadline_seconds: float = 60.0,
        attempts: int = 3,
        by_tensor: bool = False,
    ):
        if not (math.isfinite(deadline_seconds) and deadline_seconds > 0):
            raise InputError(
                f"The deadline is a number of seconds above 0, received {deadline_seconds!r}."
            )
        if attempts < 1:
            raise InputError(f"At least 1 attempt is needed, received {attempts!r}.")
        address = parsed(url)
        self._url, self._seconds, self._attempts = address.url, deadline_seconds, attempts
        self._multiple, self._prefers_tensor = USUAL_MULTIPLE, by_tensor
        self._closed = threading.Event()
        self._jitter = random.Random()
        self._wire = _connected(address)
        try:
            self._signature = self._attempted(self._asked)
            if self.takes_picture:
                self._values = self._fitted(values or {}, 1)
        except BaseException:
            self.close()
            raise

    def _fitted(self, values: Mapping[str, ArrayLike], count: int) -> dict[str, Array]:
        # First of all none is missing: what `fitted` misses it makes, as large as is claimed.
        require_all(values, self._signature.extra, self._url, "values")
        return fitted(values, self._signature.extra, self._url, count)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes all connections; calls that wait for an answer end with an `InputError`."""
        self._closed.set()
        self._wire.close()

    def __call__(self, pixels: Pixels) -> Pixels:
        """The translation of pixels (H, W, C), of the same size.

        Where files go out, pixels may be numbers of 16 bits, and so may the answer.

        Raises:
            InputError: These are no pixels, the server is away, refuses them or takes too long, or
                what it answers is no translation of them.
        """
        deep = self.takes_numbers and pixels.dtype == np.uint16
        if not are_pixels(eight_bit(pixels) if deep else pixels, 3, self.channels[0]):
            raise InputError(
                f"Expected uint8 pixels of shape (H, W, {self.channels[0]}), received "
                f"{pixels.dtype} of shape {pixels.shape}."
            )
        if self._signature.of_files:
            return self._by_file(pixels)
        return self._by_tensor(pixels)

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of the pictures that go in, and of those that come out, as far as it is told.

        Of picture files it is the signature of floats that tells them.
        """
        return self._signature.channels

    @property
    def takes_numbers(self) -> bool:
        """Whether the numbers in files go out as they are: the server knows their range."""
        return self._signature.of_files

    def _by_file(self, pixels: Pixels) -> Pixels:
        height, width, _ = pixels.shape
        if height * width > LARGEST_PICTURE:
            raise InputError(
                f"{self._url}: the picture has {height} x {width} pixels, more than the "
                f"{LARGEST_PICTURE} that are sent; scale it down."
            )
        # A PNG is hardly larger than what is in it, two bytes a channel at most.
        limit = 4 * height * width * max(self.channels) + 2**16

        def ask(left: float) -> Pixels:
            end = time.monotonic() + left
            inputs: Inputs = {IMAGE_BYTES: png_of(pixels, end), **self._values}
            name = self._signature.name
            file = self._wire.file(name, inputs, IMAGE_BYTES, limit, left_until(end))
            return picture_in(file, pixels.shape)

        return self._attempted(ask)

    def _by_tensor(self, pixels: Pixels) -> Pixels:
        def ask(left: float) -> Pixels:
            end, tried = time.monotonic() + left, self._multiple
            try:
                return self._by_padded_tensor(pixels, left)
            except Failure as failure:
                # Only the model knows what its sides are multiples of, and its refusal says it.
                told = MULTIPLE.search(failure.reason)
                if told is None or not tried < int(told[1]) <= LARGEST_MULTIPLE:
                    raise
                self._multiple = int(told[1])
            return self._by_padded_tensor(pixels, end - time.monotonic())

        return self._attempted(ask)

    def _by_padded_tensor(self, pixels: Pixels, left: float) -> Pixels:
        height, width, _ = pixels.shape
        end = time.monotonic() + left
        image = padded(pixels, *self._padded_size(height, width))[None].astype(np.float32)
        inputs, name = {INPUT: image, **self._values}, self._signature.name
        shape = (*image.shape[:3], self.channels[1])
        answer = self._wire.image(name, inputs, OUTPUT, shape, left_until(end))
        levels = levels_in(answer)
        return np.ascontiguousarray(levels[:height, :width])

    def _padded_size(self, height: int, width: int) -> tuple[int, int]:
        """The size up to which a picture is reflected: the one that is taken, or the next one."""
        free = padded_size(height, width, self._multiple)
        rows, columns = (
            fixed or side for fixed, side in zip(self._signature.size, free, strict=True)
        )
        if rows < height or columns < width:
            raise InputError(
                f"{self._url}: the model takes pictures of up to {rows} x {columns} pixels, not of "
                f"{height} x {width}; serve one that was exported without --sizes."
            )
        most = self._wire.most_numbers // max(self._signature.channels)
        if rows * columns > most:
            raise InputError(
                f"{self._url}: {rows} x {columns} pixels would travel as numbers, and {most} at "
                "most do; scale the picture down, or serve a model with a signature of picture "
                "files."
            )
        return rows, columns

    def _asked(self, left: float) -> _Signature:
        """The signature to use of a model that is ready."""
        end = time.monotonic() + left
        try:
            _check_ready(self._wire.states(left))
            signatures = self._wire.signatures(end - time.monotonic())
        except Failure as failure:
            if failure.code == "INVALID_ARGUMENT":  # so servers call an unknown label
                failure = Failure("NOT_FOUND", failure.reason)
            raise failure from None
        most, by_tensor = self._wire.most_numbers, self._prefers_tensor
        return _chosen(signatures, most, self.takes_picture, by_tensor)

    def _attempted(self, ask: Callable[[float], Answer]) -> Answer:
        """`ask(seconds left)`, asked again after failures that pass by themselves."""
        end = time.monotonic() + self._seconds
        for attempt in itertools.count(1):
            try:
                return ask(end - time.monotonic())
            except Failure as failure:
                pause = FIRST_PAUSE * 2 ** (attempt - 1) * self._jitter.uniform(0.5, 1)
                in_time = time.monotonic() + pause < end
                again = failure.code in _PASSING and attempt < self._attempts and in_time
                if not again or self._closed.wait(pause):
                    raise self._error(failure) from failure
        raise AssertionError("the count has no end")

    def _error(self, failure: Failure) -> InputError:
        code = "CLOSED" if self._closed.is_set() else failure.code
        sentence = _SENTENCES.get(code, _OTHERWISE)
        said = sentence.format(reason=failure.reason, seconds=self._seconds)
        return InputError(f"{self._url}: {said}.")


class ServerSampler(ServerTranslator):
    """A served sampler, `sample` for short; arguments and errors as of `ServerTranslator`."""

    takes_picture = False

    @property
    def extra(self) -> Mapping[str, Shape]:
        """Shapes (1, ...) of its inputs by name."""
        return self._signature.extra

    def sample(self, **values: ArrayLike) -> Pixels:
        """Values (N, ...) by name -> pixels (N, H, W, 3).

        Raises:
            InputError: A value is missing or does not fit, or the server gives no picture.
        """
        count = count_of(None, values)
        given = self._fitted(values, count)
        return np.stack([self._sampled(row(given, i)) for i in range(count)])

    def _sampled(self, values: Mapping[str, Array]) -> Pixels:
        name, size = self._signature.name, self._signature.size

        def ask(left: float) -> Pixels:
            if self._signature.of_files:
                file = self._wire.file(name, values, IMAGE_BYTES, LARGEST_FILE, left)
                return picture_in(file, None)
            shape = (1, *(side or 0 for side in size), 3)
            return levels_in(self._wire.image(name, values, OUTPUT, shape, left))

        return self._attempted(ask)


def _connected(address: Address) -> Wire:
    if address.is_rest:
        from tfi2i_export.serving.rest import RestWire

        return RestWire(address)
    from tfi2i_export.serving.grpc import GrpcWire

    return GrpcWire(address)


def _check_ready(states: list[tuple[str, str]]) -> None:
    """At least one of the model's versions can be used."""
    names = [name for name, _ in states]
    if not names:
        raise Failure("NOT_FOUND", "it has no version of it")
    if "AVAILABLE" in names:
        return
    if "START" in names or "LOADING" in names:
        raise Failure("LOADING", "")
    raise Failure("UNLOADED", next((why for _, why in states if why), names[-1]))


def _chosen(
    signatures: Mapping[str, Any], most: int, takes_picture: bool, by_tensor: bool
) -> _Signature:
    """One of picture files, otherwise one of up to `most` floats, or the reverse.

    `serving_default` comes before others.

    Those that take nothing besides the picture come before all others. A sampler's takes none.
    """
    found, too_large = [], ""
    names = sorted(signatures, key=lambda name: (name != "serving_default", name))
    kinds = ((IMAGE_BYTES, IMAGE_BYTES, types_pb2.DT_STRING), (INPUT, OUTPUT, types_pb2.DT_FLOAT))
    for source, target, dtype in kinds:
        for name in names:
            inputs, outputs = signatures[name].inputs, signatures[name].outputs
            pictures = {INPUT, IMAGE_BYTES} & set(inputs)
            fits = source in pictures if takes_picture else not pictures
            if not fits or set(outputs) != {target}:
                continue
            extra = _extra(inputs, source)
            picture = inputs[source] if takes_picture else outputs[target]
            size = _fixed_size(picture)
            if not takes_picture and source == INPUT and None in size:
                continue  # as large as it likes
            if extra is not None and picture.dtype == outputs[target].dtype == dtype:
                channels = _channels(picture), _channels(outputs[target])
                rows, columns = (side or 1 for side in size)
                if rows * columns * max(channels) > most:
                    too_large = f"{name} declares {rows} x {columns}"
                    continue
                found.append(_Signature(name, source == IMAGE_BYTES, size, extra, channels))
    if found:
        best = min(found, key=lambda one: (bool(one.extra), one.of_files and by_tensor))
        told = [one for one in found if not one.of_files and one.extra == best.extra]
        return replace(best, channels=told[0].channels) if told and best.of_files else best
    if too_large:
        raise Failure("SIZE", f"{too_large}, {most} numbers at most do")
    known = "; ".join(
        f"{name}: {', '.join(sorted(signatures[name].inputs))} -> "
        f"{', '.join(sorted(signatures[name].outputs))}"
        for name in names
    )
    code = "SIGNATURE" if takes_picture else "SAMPLER"
    raise Failure(code, f"its signatures are {known}" if known else "it has no signature")


def _fixed_size(tensor: Any) -> tuple[int | None, int | None]:
    sides = [dim.size if dim.size > 0 else None for dim in tensor.tensor_shape.dim]
    return (sides[1], sides[2]) if len(sides) == 4 else (None, None)


def _channels(tensor: Any) -> int:
    """Channels of pictures by a tensor's last side; of files, three."""
    sides = [dim.size for dim in tensor.tensor_shape.dim]
    return sides[3] if len(sides) == 4 and sides[3] in CHANNELS else 3


def _extra(inputs: Mapping[str, Any], source: str) -> dict[str, Shape] | None:
    """Returns the shapes (1, ...) of the inputs besides `source`; None: they are not of tfi2i."""
    shapes: dict[str, Shape] = {}
    for name, tensor in sorted(inputs.items()):
        rows, *sides = [dim.size for dim in tensor.tensor_shape.dim] or [0]
        is_name = name.isidentifier() and len(name) <= LONGEST_NAME
        is_value = tensor.dtype == types_pb2.DT_FLOAT and rows <= 1 and min(sides, default=0) > 0
        if name == source:
            continue
        if not is_name or not is_value or len(shapes) == MOST_INPUTS:
            return None
        shapes[name] = (1, *sides)
    return shapes
