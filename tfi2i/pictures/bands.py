"""TIFF files of several bands that are no colours, which Pillow cannot read.

Plain files are read: 8 or 16 bits of whole numbers, in strips, stored as they are or deflated.
tifffile would read more, but of files from strangers: one of 300 bytes, three of them changed,
kept it busy for 16 seconds, and one that was cut short gave other numbers instead of an error.
"""

import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfi2i.errors import InputError
from tfi2i.pictures.depth import Range, spread
from tfi2i.pictures.pixels import eight_bit

LARGEST = 2**29  # bytes of all bands, unpacked
_KINDS = {1: "B", 2: "B", 3: "H", 4: "I"}  # of values in a tag: bytes, text, 16 and 32 bits
_MOST = 2**20  # values of a tag
_DEFLATED = (8, 32946)
_ALPHA = (1, 2)  # what an extra band is, by its tag, that is alpha


def read_bands(
    source: Path | str | bytes, channels: int, value_range: Range | None = None
) -> NDArray[Any] | None:
    """The bands (H, W, channels) of a TIFF file that has so many; None: another file.

    Bands that are grey or RGB with alpha count as colours: they are left to `read_picture`.

    Args:
        source: File's path, or its contents.
        channels: Number of bands.
        value_range: Numbers in the file that are black and white. The bands are uint16 then.

    Raises:
        InputError: It is such a file, and damaged, or stored in a way that is not read.
    """
    if channels not in (2, 4):
        return None
    label = "the picture" if isinstance(source, bytes) else str(source)
    try:
        content = source if isinstance(source, bytes) else _content(Path(source))
        tags = _tags(content)
        if not tags or tags.get(277, (1,))[0] != channels or tags.get(338, (0,))[0] in _ALPHA:
            return None
        if channels == 4 and tags.get(262, (1,))[0] not in (0, 1):  # RGB or CMYK
            return None
        bands = _bands(content, tags, channels)
    except _Unread as error:
        raise InputError(f"{label} holds {channels} bands {error}; save it without.") from error
    except (struct.error, ValueError, LookupError, zlib.error, OverflowError) as error:
        raise InputError(
            f"{label} is a damaged TIFF file of {channels} bands ({error}); copy it again."
        ) from error

    if value_range is not None:
        return spread(bands, *value_range)
    return eight_bit(bands)


class _Unread(Exception):
    """A way to store bands that is not read."""


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            start = file.read(4)
            return start + file.read(LARGEST) if start in (b"II*\0", b"MM\0*") else b""
    except OSError:  # `read_picture` says what is wrong
        return b""


def _tags(content: bytes) -> dict[int, tuple[int, ...]]:
    """The whole numbers of each tag of the first page; none if it is no TIFF file."""
    if content[:4] not in (b"II*\0", b"MM\0*"):
        return {}
    order = "<" if content[:2] == b"II" else ">"
    (at,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, at)
    found: dict[int, tuple[int, ...]] = {-1: (order == ">",)}
    for i in range(count):
        place = at + 2 + 12 * i
        tag, kind, number = struct.unpack_from(f"{order}HHI", content, place)
        if kind not in _KINDS or number > _MOST:
            continue
        form = f"{order}{number}{_KINDS[kind]}"
        place += 8
        if struct.calcsize(form) > 4:
            (place,) = struct.unpack_from(f"{order}I", content, place)
        found[tag] = struct.unpack_from(form, content, place)
    return found


def _bands(content: bytes, tags: dict[int, tuple[int, ...]], channels: int) -> NDArray[Any]:
    width, height = tags[256][0], tags[257][0]
    bits, packed = {*tags.get(258, (1,))}, tags.get(259, (1,))[0]
    numbers, predictor = {*tags.get(339, (1,))}, tags.get(317, (1,))[0]
    if len(bits) > 1 or not bits <= {8, 16} or numbers != {1}:
        raise _Unread(f"of {max(bits)} bits or of other numbers than whole ones")
    if packed not in (1, *_DEFLATED) or predictor not in (1, 2) or 273 not in tags:
        raise _Unread("that are compressed otherwise than by deflate, or in tiles")
    (depth,) = bits
    kind = np.dtype("B" if depth == 8 else f"{'>' if tags[-1][0] else '<'}u2")
    total = width * height * channels * kind.itemsize
    if not 0 < total <= LARGEST:
        raise _Unread(f"of {width} x {height}")
    planes = channels if tags.get(284, (1,))[0] == 2 else 1
    rows = min(tags.get(278, (height,))[0], height)
    inside = channels // planes
    strips = math.ceil(height / rows)
    made = np.empty((planes, height, width, inside), kind.newbyteorder("="))
    for i in range(planes * strips):
        plane, strip = divmod(i, strips)
        top = strip * rows
        count = min(rows, height - top)
        size = count * width * inside * kind.itemsize
        data = content[tags[273][i] : tags[273][i] + tags[279][i]]
        if packed != 1:
            data = zlib.decompressobj().decompress(data, size)
        values: Any = np.frombuffer(data, kind, count * width * inside)
        values = values.reshape(count, width, inside).astype(made.dtype)
        if predictor == 2:
            values = np.cumsum(values, axis=1, dtype=made.dtype)
        made[plane, top : top + count] = values
    return np.concatenate([*made], axis=-1)
