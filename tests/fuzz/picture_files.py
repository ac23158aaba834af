"""Pictures of each kind with changed bytes: decoded to pixels, or refused."""

import functools
import io
import random
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from fuzz.mutations import spoilt
from fuzz.outcomes import Target
from tfi2i.pictures.channels import in_channels
from tfi2i.pictures.files import read_header, read_picture, read_values

HEIGHT, WIDTH = 20, 27
PNG = b"\x89PNG\r\n\x1a\n"


class Made(NamedTuple):
    """A picture's file, how it is read, and the pixels of the file that was changed."""

    path: Path
    way: str
    pixels: np.ndarray | None


def noise(channels: int | None, dtype: Any = np.uint8) -> np.ndarray:
    shape = (HEIGHT, WIDTH) if channels is None else (HEIGHT, WIDTH, channels)
    numbers = np.random.default_rng(channels or 0)
    if dtype == np.float32:
        return numbers.uniform(0, 1, shape).astype(dtype)
    return numbers.integers(0, np.iinfo(dtype).max, shape, dtype)


def encoded(pixels: np.ndarray, kind: str, mode: str | None = None, **settings: Any) -> bytes:
    file, image = io.BytesIO(), Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(file, kind, **settings)
    return file.getvalue()


def animated(kind: str, **settings: Any) -> bytes:
    frames = [Image.fromarray(np.roll(noise(3), i, axis=1)) for i in range(3)]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], **settings)
    return file.getvalue()


def of_png() -> list[bytes]:
    return [
        *(encoded(noise(channels), "PNG") for channels in (None, 3, 4)),
        encoded(noise(None, np.uint16), "PNG"),
        encoded(noise(3), "PNG", "P"),
        encoded(noise(None), "PNG", "1"),
        encoded(noise(3), "PNG", pnginfo=None, dpi=(72, 72)),
        animated("PNG"),
    ]


def of_jpeg() -> list[bytes]:
    turned = Image.Exif()
    turned[0x0112] = 6
    return [
        *(encoded(noise(channels), "JPEG") for channels in (None, 3)),
        encoded(noise(3), "JPEG", progressive=True, exif=turned.tobytes()),
        encoded(noise(3), "JPEG", "CMYK", subsampling=0, restart_marker_rows=1),
    ]


def of_tiff() -> list[bytes]:
    import tiff_files as tiff

    packed = ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", None]
    return [
        *(encoded(noise(3), "TIFF", compression=one) for one in packed),
        encoded(noise(None), "TIFF", "1", compression="group4"),
        *(encoded(noise(None, dtype), "TIFF") for dtype in (np.uint16, np.float32)),
        tiff.file_of(noise(3, np.uint16), packing=tiff.LZW, predictor=2, seen=tiff.RGB),
        tiff.file_of(noise(2, np.uint16), packing=tiff.DEFLATE, planar=True),
        tiff.file_of(noise(4, np.float32), packing=tiff.DEFLATE, predictor=3, order=">"),
        tiff.file_of(noise(3, np.uint8), tile=(16, 16), seen=tiff.RGB),
        animated("TIFF"),
    ]


KINDS = {
    "PNG": of_png,
    "JPEG": of_jpeg,
    "TIFF": of_tiff,
    "WebP": lambda: [
        *(encoded(noise(channels), "WEBP") for channels in (3, 4)),
        encoded(noise(3), "WEBP", lossless=True),
        animated("WEBP", lossless=True),
    ],
    "AVIF": lambda: [encoded(noise(channels), "AVIF") for channels in (3, 4)],
    "JPEG 2000": lambda: [
        encoded(noise(3), "JPEG2000"),
        encoded(noise(None), "JPEG2000", no_jp2=True),
        encoded(noise(None, np.uint16), "JPEG2000"),
    ],
    "GIF": lambda: [encoded(noise(3), "GIF"), animated("GIF")],
    "BMP": lambda: [*(encoded(noise(n), "BMP") for n in (None, 3, 4)), encoded(noise(3), "DIB")],
    "PPM": lambda: [
        *(encoded(noise(n), "PPM") for n in (None, 3)),
        encoded(noise(None, np.uint16), "PPM"),
        b"P3 2 1 255 1 2 3 4 5 6\n",
    ],
}


@functools.cache
def files_of(kind: str) -> list[bytes]:
    return KINDS[kind]()


@functools.cache
def decoded(content: bytes) -> np.ndarray:
    return read_picture(content).pixels


WAYS = ("picture", "picture", "picture", "values", "range", "header", "frame", "bytes")


def make(kind: str, rng: random.Random, folder: Path) -> Made:
    files = files_of(kind)
    content = rng.choice(files)
    path, way = folder / f"picture.{kind.lower().replace(' ', '')}", rng.choice(WAYS)
    changed = spoilt(rng, content, files)
    path.write_bytes(changed)
    is_summed = way in ("picture", "bytes") and content.startswith(PNG) and has_sums(changed)
    return Made(path, way, decoded(content) if is_summed else None)


def has_sums(content: bytes) -> bool:
    """Whether a PNG has the sum of its pixels: of one that is cut off before, nothing tells."""
    place = len(PNG)
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        place += 12 + length
        if kind == b"IDAT" and place > len(content):
            return False
    return True


def read(made: Made) -> Any:
    if made.way == "header":
        return read_header(made.path)
    if made.way == "values":
        return read_values(made.path)
    if made.way == "range":
        return read_picture(made.path, value_range=(3.0, 200.0))
    if made.way == "frame":
        return read_picture(made.path, frame=1)
    return read_picture(made.path.read_bytes() if made.way == "bytes" else made.path)


def right(made: Made, found: Any) -> None:
    if made.way == "header":
        assert isinstance(found.deep, bool) and found.frames >= 1
        return
    if made.way == "values":
        assert found.array.ndim in (2, 3) and found.array.dtype.kind in "uif"
        return
    pixels = found.pixels
    assert pixels.dtype == (np.uint16 if made.way == "range" else np.uint8)
    assert pixels.ndim == 3 and pixels.shape[2] == 3 and min(pixels.shape) > 0
    assert found.alpha is None or found.alpha.shape == pixels.shape[:2]
    assert in_channels(pixels, 4, found.alpha).shape[2] == 4 or made.way == "range"
    if made.pixels is not None:
        np.testing.assert_array_equal(pixels, made.pixels)


def target(kind: str) -> Target:
    # A few kB may claim 40 million pixels, which a file of one colour could have.
    return Target(
        f"pictures: {kind}", functools.partial(make, kind), read, right, 40, megabytes=900
    )


TARGETS = [target(kind) for kind in KINDS]
