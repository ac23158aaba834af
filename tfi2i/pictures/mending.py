"""Files whose pixels are all there although their end or a part beside the pixels is damaged.

Pillow refuses them whole. What is returned here is decoded by Pillow as any other file. And PNG
files whose pixels are damaged, which Pillow decodes as if they were not.
"""

import io
import struct
import zlib
from typing import BinaryIO

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"eXIf"}
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Adam7: first column, first row, distance of columns and of rows of each pass.
_PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)

_END = b"\xff\xd9"
# What is missing is decoded from these bits. If it were needed, the two would not look alike.
_ENDINGS = (bytes(64) + _END, b"\xfe" * 64 + _END)


def jpeg_without_end(data: bytes) -> tuple[bytes, ...]:
    """The file with two endings, for one that stops before its end marker; else nothing.

    All pixels are there if both give the same picture.
    """
    if not data.startswith(b"\xff\xd8") or data.rstrip(b"\0").endswith(_END):
        return ()
    if not _has_all_scans(data):
        return ()
    return tuple(data.rstrip(b"\xff") + ending for ending in _ENDINGS)


def _has_all_scans(data: bytes) -> bool:
    """Whether a JPEG has the scans that make each coefficient of each component exact."""
    wanted: set[tuple[int, int]] = set()
    exact: set[tuple[int, int]] = set()
    place = 2
    while place + 4 <= len(data):
        if data[place] != 0xFF or data[place + 1] in (0x00, 0xFF, *range(0xD0, 0xD8)):
            place += 1  # coded pixels, or filling
            continue
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        part = data[place + 4 : place + 2 + length]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if len(part) < 6:
                return False
            parts = [part[i] for i in range(6, min(6 + 3 * part[5], len(part)), 3)]
            ends = 64 if marker in (0xC2, 0xC6, 0xCA, 0xCE) else 1  # progressive or not
            wanted = {(one, k) for one in parts for k in range(ends)}
        elif marker == 0xDA and part and len(part) >= 1 + 2 * part[0] + 3:
            first, last, bits = part[1 + 2 * part[0] :][:3]
            if bits & 15 == 0:
                names = [part[1 + 2 * i] for i in range(part[0])]
                exact |= {(one, k) for one in names for k in range(first, last + 1)}
        place += 2 + length
    return bool(wanted) and wanted <= exact


def png_without_damage(data: bytes) -> bytes | None:
    """The file with what its pixels need and an end; None if those are not all there."""
    if not data.startswith(_SIGNATURE):
        return None
    chunks: dict[bytes, bytes] = {}
    packed, place = [], len(_SIGNATURE)
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        body = data[place + 8 : place + 8 + length]
        crc = data[place + 8 + length : place + 12 + length]
        sound = len(crc) < 4 or crc == struct.pack(">I", zlib.crc32(kind + body))
        if kind == b"IDAT" and sound:
            packed.append(body)
        elif kind in _KEPT and sound and len(crc) == 4:
            chunks.setdefault(kind, body)
        elif not kind[0] & 32 and kind != b"IEND":
            return None  # a part that the pixels need
        place += 12 + length
    size = _raw_size(chunks.get(b"IHDR", b""))
    if size is None or not _is_complete(b"".join(packed), size):
        return None
    parts = [*chunks.items(), (b"IDAT", b"".join(packed)), (b"IEND", b"")]
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )


def check_sums(file: BinaryIO) -> None:
    """Makes sure that the packed pixels of a PNG, if the file is one, have the sums it states.

    Pillow compares neither these sums nor, where rows are unpacked early, the one of all pixels.

    Raises:
        ValueError: One has not. A sum that is cut off with the file's end is left to others.
    """
    place = file.tell()
    file.seek(0)
    sound = file.read(len(_SIGNATURE)) != _SIGNATURE or _has_sums(file)
    file.seek(place)
    if not sound:
        raise ValueError("its pixels are not those of their checksum")


def _has_sums(file: BinaryIO) -> bool:
    while len(start := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", start)
        if kind in (b"IDAT", b"fdAT"):
            body, crc = file.read(length), file.read(4)
            if len(crc) == 4 and crc != struct.pack(">I", zlib.crc32(kind + body)):
                return False
        else:
            file.seek(length + 4, io.SEEK_CUR)
    return True


def _raw_size(header: bytes) -> int | None:
    """Bytes of the unpacked rows; None for a header that is none."""
    if len(header) != 13:
        return None
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    bits = depth * _SAMPLES.get(colour, 1)
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    sides = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes]
    return sum(down * (1 + (across * bits + 7) // 8) for across, down in sides if across > 0 < down)


def _is_complete(packed: bytes, size: int) -> bool:
    unpacker, count = zlib.decompressobj(), 0
    try:
        while packed and count < size:
            count += len(unpacker.decompress(packed, 1 << 20))
            packed = unpacker.unconsumed_tail
    except zlib.error:
        return False
    return count >= size
