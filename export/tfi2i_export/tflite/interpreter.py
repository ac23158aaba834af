"""Running exported .tflite translators with LiteRT; needs no TensorFlow."""

import contextlib
import functools
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfi2i.errors import InputError, first_line
from tfi2i.files import open_regular
from tfi2i.pictures.channels import CHANNELS
from tfi2i.pictures.pixels import sixteen_bit
from tfi2i.terminal import quiet
from tfi2i_export.inputs import count_of, fitted, require_all

INPUT, OUTPUT = "image", "translation"
"""The names of the picture that goes in and of the one that comes out, in every signature."""
IMAGE_BYTES = "image_bytes"
"""The same where they are files. Of outputs a server encodes only those for JSON that end so."""

VALUE = "value"
"""The name of what an encoder makes of a picture."""
ENCODER_END = "-encoder.tflite"
"""The end of the name of an encoder's file, which lies beside a translator's."""

IDENTIFIER = b"TFL3"  # in bytes 4 to 8 of every .tflite file
LARGEST = 1 << 30  # bytes of a file; a translator of 8 million weights has 32 million

# What Python raises for a file that LiteRT or its flatbuffer schema cannot make sense of.
DAMAGE = (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, MemoryError)


class TFLiteTranslator:
    """Pixels (N, H, W, C) uint8 -> the same, by a .tflite file as `tfi2i export` makes it.

    A sampler's file takes None for the pixels, and makes a picture for each row of the values.
    Not for use by several threads at once.

    Args:
        model: File, or its bytes.
        threads: Threads of the CPU; LiteRT's choice unless given.
        signature: One to run, of a file with several; the one for the smallest pictures
            unless given.
        inputs: Values of the inputs besides the picture by name, for all pictures; calls may give
            others.
        deep: True for pixels of 16 bits as results.

    Attributes:
        io: "float" or "uint8", what the file takes and gives; pixels 0..255 either way.
        extra: Shapes of the inputs besides the picture by name, such as {"style": (1, 8)}.
        takes_picture: False for a sampler's file.
        batch: Number of pictures that the file takes at a time; calls take any.
        size: (H, W) of the pictures it takes; None: any whose sides are multiples of `multiple`. A
            sampler's: of those that it makes.
        channels: Channels of the pictures that it takes and of those that it makes.

    Raises:
        InputError: The file cannot be read, is damaged or is no translator of tfi2i; or it has no
            such inputs.
    """

    def __init__(
        self,
        model: str | Path | bytes,
        *,
        threads: int | None = None,
        signature: str | None = None,
        inputs: Mapping[str, ArrayLike] | None = None,
        deep: bool = False,
    ):
        self._deep = deep
        self._name = "The model" if isinstance(model, bytes) else str(model)
        if threads is not None and threads < 1:
            raise InputError(f"threads is {threads}; give at least 1.")
        with self._explained():
            interpreter = opened(content_of(model), threads, self._name)
            known = list(interpreter.get_signature_list())
        if signature is not None and signature not in known:
            raise InputError(
                f"{self._name} has no signature {signature!r}; it has {', '.join(known) or 'none'}."
            )
        if not known:
            raise InputError(f"{self._name} has no signatures; give a file made by tfi2i export.")
        # Of translate_256x320 its numbers.
        self.signature = signature or min(known, key=lambda x: [*map(int, re.findall(r"\d+", x))])
        with self._explained():
            self._runner = interpreter.get_signature_runner(self.signature)
            taken, made = self._runner.get_input_details(), self._runner.get_output_details()
            self._check(taken, made)
            self.takes_picture = INPUT in taken
            picture = taken[INPUT] if self.takes_picture else made[OUTPUT]
            self.batch, height, width, _ = map(int, picture["shape_signature"])
            self.channels = _channels(picture), _channels(made[OUTPUT])
            self.extra = {name: (1, *shape[1:]) for name, shape in _shapes(taken).items()}
        self._given = fitted(inputs or {}, self.extra, self._name)
        self._started = False
        self.io = "uint8" if picture["dtype"] == np.uint8 else "float"
        self.size = None if -1 in (height, width) else (height, width)

    @functools.cached_property
    def multiple(self) -> int:
        """Multiple of the sides where they are free, found by trying; otherwise 1.

        Raises:
            InputError: No power of two up to 64 will do.
        """
        if self.size is not None:
            return 1
        for multiple in (1, 2, 4, 8, 16, 32, 64):
            if self._keeps_size(64 + multiple):
                return multiple
        raise InputError(f"{self._name} gives pictures of another size than it takes.")

    def __call__(self, pixels: NDArray[np.uint8] | None, **extra: ArrayLike) -> NDArray[Any]:
        """The translations of pixels (N, H, W, 3), as many at a time as the file takes.

        Args:
            pixels: RGB 0..255; None: for a sampler.
            extra: Values (N, ...) of inputs besides the picture by name, or one for all pictures.

        Raises:
            InputError: They are not uint8 pictures, or of a size the file does not take; or a value
                is missing or does not fit.
        """
        side = self._side(pixels)
        all_given = {**self._given, **extra}
        ranks = {name: len(shape) for name, shape in self.extra.items()}
        rows = {name: one for name, one in all_given.items() if np.ndim(one) == ranks.get(name)}
        count = count_of(pixels, rows)
        given = fitted(all_given, self.extra, self._name, count)
        require_all(given, self.extra, self._name)
        made = np.uint16 if self._deep else np.uint8
        translations = np.empty((count, *side, self.channels[1]), made)
        for i in range(0, count, self.batch):
            # The last pictures fill up what the file takes.
            some = np.minimum(np.arange(i, i + self.batch), count - 1)
            try:
                shown = None if pixels is None else pixels[some]
                translation = self._run(shown, {name: one[some] for name, one in given.items()})
            except MemoryError:
                raise
            except DAMAGE as error:
                raise self._refusal(side) from error
            if translation.shape[1:3] != side:
                raise self._refusal(side)
            translations[i : i + self.batch] = translation[: count - i]
        return translations

    def _side(self, pixels: NDArray[np.uint8] | None) -> tuple[int, ...]:
        """(H, W) of the pictures that are given, or those that a sampler makes."""
        if pixels is None and not self.takes_picture:
            return self.size or ()
        pixels = np.asarray(pixels)
        if not self.takes_picture:
            raise InputError(f"{self._name} makes pictures of none; give it no picture.")
        fitting = pixels.dtype == np.uint8 and pixels.ndim == 4  # there may be no picture
        if not fitting or pixels.shape[-1] != self.channels[0]:
            raise InputError(
                f"{self._name} takes uint8 pictures (N, H, W, {self.channels[0]}), not "
                f"{pixels.dtype} {pixels.shape}."
            )
        side = pixels.shape[1:3]
        if self.size not in (None, side):
            raise InputError(f"{self._name} takes pictures of {_by(self.size)}, not {_by(side)}.")
        return side

    def _run(
        self, pixels: NDArray[np.uint8] | None, extra: Mapping[str, NDArray[np.float32]]
    ) -> NDArray[Any]:
        given: dict[str, Any] = dict(extra)
        if pixels is not None:
            given[INPUT] = pixels if self.io == "uint8" else pixels.astype(np.float32)
        # Only the first call sets up the CPU's delegate, which announces itself.
        with contextlib.nullcontext() if self._started else quiet():
            translation = self._runner(**given)[OUTPUT]
        self._started = True
        if self.io == "uint8":
            return sixteen_bit(translation) if self._deep else translation
        if not np.isfinite(translation).all():
            raise ValueError("it gives values that are not finite")
        if self._deep:
            return np.clip(np.rint(translation * np.float32(257)), 0, 65535).astype(np.uint16)
        return np.clip(np.rint(translation), 0, 255).astype(np.uint8)

    def _keeps_size(self, side: int) -> bool:
        extra = {
            name: np.zeros((self.batch, *shape[1:]), np.float32)
            for name, shape in self.extra.items()
        }
        try:
            shape = (self.batch, side, side, self.channels[0])
            tried = self._run(np.zeros(shape, np.uint8), extra)
            return tried.shape[1:3] == (side, side)
        except DAMAGE:
            return False

    def _refusal(self, side: tuple[int, ...]) -> InputError:
        if self.size is not None:
            return InputError(f"{self._name} fails on pictures of {_by(side)}; export it again.")
        return InputError(
            f"{self._name} does not take pictures of {_by(side)}; give sides that are multiples "
            f"of {self.multiple}."
        )

    def _check(self, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        made = list(map(int, outputs[OUTPUT]["shape_signature"])) if OUTPUT in outputs else []
        batch = made[:1]
        # A sampler's picture has a size of its own.
        if list(outputs) != [OUTPUT] or (INPUT not in inputs and (-1 in made or not inputs)):
            raise InputError(
                f"{self._name} makes {', '.join(outputs)} of {', '.join(inputs)}; give a file "
                f"made by tfi2i export, which makes {OUTPUT} of {INPUT}."
            )
        for tensor in (inputs.get(INPUT, outputs[OUTPUT]), outputs[OUTPUT]):
            shape, dtype = tuple(map(int, tensor["shape_signature"])), tensor["dtype"]
            same_type = dtype == outputs[OUTPUT]["dtype"] and dtype in (np.float32, np.uint8)
            is_picture = len(shape) == 4 and [shape[0]] == batch and shape[0] > 0
            if not same_type or not is_picture or shape[3] not in (*CHANNELS, -1):
                raise InputError(
                    f"{self._name} has a {np.dtype(dtype)} tensor {shape}; give a file made by "
                    "tfi2i export, whose pictures are (1, H, W, C), both uint8 or both float32."
                )
        for name, shape in _shapes(inputs).items():
            if inputs[name]["dtype"] != np.float32 or list(shape[:1]) != batch or -1 in shape:
                raise InputError(
                    f"{self._name} has a {np.dtype(inputs[name]['dtype'])} input {name!r} {shape}; "
                    "give a file made by tfi2i export, whose extra inputs are float32 (1, ...)."
                )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except DAMAGE as error:
            raise InputError(
                f"{self._name} is damaged or needs another version of LiteRT ({first_line(error)})."
            ) from error


def opened(model: bytes, threads: int | None = None, name: str = "The model") -> Any:
    """LiteRT's interpreter of a model, no tensors allocated.

    Args:
        model: Content of a .tflite file.
        threads: Threads of the CPU; LiteRT's choice unless given.
        name: Name in messages.

    Raises:
        InputError: It is not a .tflite file, or LiteRT is not installed.
        ValueError: LiteRT cannot read it.
    """
    from ai_edge_litert.interpreter import Interpreter

    if model[4:8] != IDENTIFIER:
        raise InputError(f"{name} is not a .tflite file; give one made by tfi2i export.")
    with quiet():
        return Interpreter(model_content=model, num_threads=threads)


def _channels(tensor: Mapping[str, Any]) -> int:
    """Channels of a picture, in LiteRT's details of a tensor."""
    count = int(tensor["shape_signature"][3])
    return count if count > 0 else 3


def _shapes(inputs: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """By name the shapes of what is not the picture, in LiteRT's details of inputs."""
    return {
        name: tuple(map(int, tensor["shape_signature"]))
        for name, tensor in inputs.items()
        if name != INPUT
    }


def content_of(model: str | Path | bytes) -> bytes:
    """The bytes of a .tflite file, unless it cannot be read or is far too large: `InputError`."""
    if isinstance(model, bytes):
        return model
    try:
        with open_regular(Path(model)) as file:
            size = os.fstat(file.fileno()).st_size  # a pipe has none, hence the second limit
            content = file.read(LARGEST + 1) if size <= LARGEST else b""
    except OSError as error:
        raise InputError(f"{model} cannot be read ({error.strerror or error}).") from error
    if max(size, len(content)) > LARGEST:
        raise InputError(f"{model} has over {LARGEST:,} bytes, which no translator has.")
    return content


def _by(size: tuple[int, ...] | None) -> str:
    return " x ".join(map(str, size or ()))
