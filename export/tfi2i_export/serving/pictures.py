"""Pictures as they travel to a server and back: PNG files, or numbers from 0 to 255."""

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from tfi2i.errors import InputError
from tfi2i.pictures.channels import in_channels
from tfi2i.pictures.depth import SIXTEEN_BITS, deep_png
from tfi2i.pictures.files import read_picture
from tfi2i.pictures.tiles import Pixels
from tfi2i_export.saved_model.picture_files import LARGEST
from tfi2i_export.serving.wire import Failure, Image, left_until

MARGIN = 1.0
"""Levels beyond black and white that may be rounding: a model's graph ends in a clip to 0..255."""


class _Timed(io.BytesIO):
    """Bytes that are written until a point in time, in pieces of 64 KiB."""

    def __init__(self, end: float):
        super().__init__()
        self._end = end

    def write(self, data: Any) -> int:
        left_until(self._end)
        return super().write(data)


def png_of(pixels: NDArray[Any], end: float) -> bytes:
    """The PNG file of pixels (H, W, C), written until a point of `time.monotonic`.

    Raises:
        Failure: The time is over before.
    """
    if pixels.dtype == np.uint16:
        content = deep_png(pixels, None)
        left_until(end)
        return content
    file = _Timed(end)
    given = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    # The quickest level: a server on the same network is waiting.
    PillowImage.fromarray(np.ascontiguousarray(given)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def levels_in(translation: Image) -> Pixels:
    """The only image of a batch (1, H, W, 3) in 0..255."""
    if not np.isfinite(translation).all():
        raise Failure("REPLY", "it holds NaN or infinite values")
    least, most = float(translation.min()), float(translation.max())
    if least < -MARGIN or most > 255 + MARGIN:
        raise Failure("REPLY", f"it holds values from {least:.4g} to {most:.4g}, not 0 to 255")
    return np.clip(np.rint(translation[0]), 0, 255).astype(np.uint8)


def picture_in(file: bytes, shape: tuple[int, ...] | None) -> NDArray[Any]:
    """The pixels of a PNG file of a known shape; its header is looked at before it is decoded.

    None: a sampler's, of whatever shape. Of 16 bits they are the numbers in it, uint16.
    """
    if not (file.startswith(b"\x89PNG\r\n\x1a\n") and len(file) > 24):
        raise Failure("REPLY", f"{len(file)} bytes that are no PNG file")
    width, height = struct.unpack(">II", file[16:24])
    if shape is None and height * width > LARGEST:
        raise Failure("REPLY", f"a picture of {height} x {width}")
    if shape is not None and (height, width) != shape[:2]:
        raise Failure(
            "REPLY", f"a picture of {height} x {width} instead of {shape[0]} x {shape[1]}"
        )
    try:
        held = SIXTEEN_BITS if file[24] == 16 else None
        picture = read_picture(file, "its PNG file", value_range=held)
        channels = {"L": 1, "I;16": 1, "I": 1, "LA": 2, "RGBA": 4}.get(picture.mode, 3)
        return in_channels(picture.pixels, channels, picture.alpha)
    except InputError as error:
        raise Failure("REPLY", str(error)) from error
