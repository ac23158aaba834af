"""Numbers in TIFF files that Pillow does not read, or reads wrongly: first page, any channels.

Whole and floating-point numbers are read, in strips or tiles, side by side or a plane a channel,
as they are, deflated or by LZW, and their differences. tifffile would read more, but of files from
strangers: one of 300 bytes, three of them changed, kept it busy for 16 seconds, and one that was
cut short gave other numbers instead of an error.
"""

import math
import os
import struct
import zlib
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tfi2i.pictures import lzw

LARGEST = 2**29  # bytes of all numbers, unpacked
ERRORS = (struct.error, ValueError, LookupError, zlib.error, OverflowError)
"""Errors that a damaged file raises in the functions of this module."""

Tags = dict[int, tuple[int, ...]]
_KINDS = {1: "B", 2: "B", 3: "H", 4: "I"}  # of values in a tag: bytes, text, 16 and 32 bits
_MOST = 2**18  # values of a tag: strips of 65,536 rows and four planes
_STARTS = (b"II*\0", b"MM\0*")
_TYPES = {
    **{(8, 1): "u1", (16, 1): "u2", (32, 1): "u4", (8, 2): "i1", (16, 2): "i2", (32, 2): "i4"},
    **{(16, 3): "f2", (32, 3): "f4", (64, 3): "f8"},
}
_PLAIN, _LZW, _DEFLATED = 1, 5, (8, 32946)


class Unread(Exception):
    """A way to store numbers that is not read, as the end of a sentence."""


def tags_of(file: BinaryIO) -> Tags:
    """The whole numbers of each tag of the first page; none if it is no TIFF file.

    Tag -1 tells whether the bytes are in the big-endian order.
    """
    file.seek(0)
    if (start := file.read(8))[:4] not in _STARTS:
        return {}
    order = "<" if start[:2] == b"II" else ">"
    (at,) = struct.unpack(f"{order}I", start[4:])
    (count,) = struct.unpack(f"{order}H", _part(file, at, 2))
    found: Tags = {-1: (order == ">",)}
    entries = _part(file, at + 2, 12 * count)
    for i in range(count):
        tag, kind, number = struct.unpack_from(f"{order}HHI", entries, 12 * i)
        if kind not in _KINDS or number > _MOST:
            continue
        form = f"{order}{number}{_KINDS[kind]}"
        value, size = entries[12 * i + 8 : 12 * i + 12], struct.calcsize(form)
        if size > 4:
            value = _part(file, int.from_bytes(value, "big" if order == ">" else "little"), size)
        found[tag] = struct.unpack_from(form, value)
    return found


def channels_of(tags: Tags) -> int:
    """Channels of a file, of all kinds."""
    return tags.get(277, (1,))[0]


def is_planar(tags: Tags) -> bool:
    """Whether each channel is a plane of its own."""
    return tags.get(284, (1,))[0] == 2


def type_of(tags: Tags) -> str | None:
    """NumPy's name of the numbers' type, such as "u2"; None: there is none."""
    bits, kinds = {*tags.get(258, (1,))}, {*tags.get(339, (1,))}
    return _TYPES.get((*bits, *kinds)) if len(bits) == len(kinds) == 1 else None  # type: ignore[arg-type]


def numbers(file: BinaryIO, tags: Tags) -> NDArray[Any]:
    """The numbers (H, W, C) in a file, floating-point ones as float32.

    Raises:
        Unread: They are stored in a way that is not read. Damaged files raise one of `ERRORS`.
    """
    kind = type_of(tags)
    if kind is None:
        raise Unread(
            f"of {max(tags.get(258, (1,)))} bits; save them as whole numbers of 8, 16 or 32 bits "
            "or as floating-point ones"
        )
    packed, predictor = tags.get(259, (_PLAIN,))[0], tags.get(317, (1,))[0]
    if packed not in (_PLAIN, _LZW, *_DEFLATED) or predictor > (3 if kind[0] == "f" else 2):
        raise Unread("compressed otherwise than by LZW or deflate; save them so or without")
    ordered = np.dtype(kind).newbyteorder(">" if tags[-1][0] else "<")
    width, height, channels = tags[256][0], tags[257][0], channels_of(tags)
    tiled = 324 in tags
    wide = tags[322][0] if tiled else width
    tall = tags[323][0] if tiled else min(tags.get(278, (height,))[0], height)
    if min(width, height, wide, tall, channels) < 1:
        raise ValueError(f"{width} x {height} x {channels} numbers, {wide} x {tall} at a time")
    across, down = math.ceil(width / wide), math.ceil(height / tall)
    rows = down * tall if tiled else height
    if across * wide * rows * channels * ordered.itemsize > LARGEST:
        raise Unread(f"of {width:,} x {height:,}; scale it down first")
    planes = channels if is_planar(tags) else 1
    inside = channels // planes
    starts, counts = (tags[324], tags[325]) if tiled else (tags[273], tags[279])
    if sum(counts) > file.seek(0, os.SEEK_END):  # then parts of the file could be read many times
        raise ValueError(f"its parts are longer than the file, {sum(counts):,} bytes")
    made = np.empty((planes, height, width, inside), ordered.newbyteorder("="))
    for i in range(planes * across * down):
        plane, place = divmod(i, across * down)
        top, left = place // across * tall, place % across * wide
        shape = (tall if tiled else min(tall, height - top), wide, inside)
        size = math.prod(shape) * ordered.itemsize
        data = _unpacked(_part(file, starts[i], counts[i]), packed, size)
        block = _undone(data[:size], ordered, shape, predictor)
        made[plane, top : top + tall, left : left + wide] = block[: height - top, : width - left]
    whole = made[0] if planes == 1 else np.concatenate([*made], axis=-1)
    return whole.astype(np.float32) if kind[0] == "f" else whole


def _part(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    data = file.read(size)
    if len(data) < size:
        raise ValueError(f"it ends after {start + len(data):,} bytes")
    return data


def _unpacked(data: bytes, packed: int, size: int) -> bytes:
    if packed == _PLAIN:
        return data
    if packed == _LZW:
        return lzw.unpacked(data, size)
    return zlib.decompressobj().decompress(data, size)


def _undone(
    data: bytes, kind: np.dtype[Any], shape: tuple[int, int, int], predictor: int
) -> NDArray[Any]:
    """The numbers (H, W, C) of bytes that may be differences to what stands on their left."""
    rows, wide, inside = shape
    size = kind.itemsize
    if predictor == 3:  # of the bytes of a row: those that count most first, then the next ones
        differences = np.frombuffer(data, np.uint8).reshape(rows, size * wide, inside)
        planes = np.cumsum(differences, axis=1, dtype=np.uint8).reshape(rows, size, wide * inside)
        together = np.ascontiguousarray(planes.swapaxes(1, 2))
        return together.view(kind.newbyteorder(">")).reshape(shape)
    values: NDArray[Any] = np.frombuffer(data, kind).reshape(shape)
    if predictor == 2:
        whole = np.dtype(f"u{size}")
        differences = values.astype(kind.newbyteorder("=")).view(whole)
        return np.cumsum(differences, axis=1, dtype=whole).view(kind.newbyteorder("="))
    return values
