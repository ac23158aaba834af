"""Formats of picture files: what is read here, what else lies in folders, and stated limits.

Needs Pillow. HEIC needs the package pillow-heif besides, which the extra `heif` installs.
"""

import contextlib
import functools
import importlib.util
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any, BinaryIO

from PIL import Image, features

from tfi2i.errors import InputError
from tfi2i.limits import MOST_MEGAPIXELS
from tfi2i.pictures import tiff
from tfi2i.terminal import printable

MAX_PIXELS = MOST_MEGAPIXELS * 10**6
"""The largest picture that is decoded; Pillow itself refuses from 178,956,971 pixels on."""

FREE_PIXELS = 16_000_000
"""Pictures up to this size may be packed as densely as their format allows."""
PIXELS_A_BYTE = {"JPEG": 1_000, "MPO": 1_000}
"""Most pixels that a byte of a larger JPEG stands for; a photograph has about 10."""
MOST_PIXELS_A_BYTE = 10_000
"""The same of every other format: more than PNG, TIFF or GIF can pack."""

# Pillow knows more, some of which start other programs (EPS) or are rarely tested with bad input.
_SUFFIXES: dict[str, tuple[str, ...]] = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jfif"),
    "MPO": (".mpo",),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "DIB": (),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "HEIF": (".heic", ".heif", ".hif"),
}
_NEEDS = {
    "AVIF": "a Pillow with AVIF: pip install --upgrade pillow",
    "JPEG2000": "a Pillow with JPEG 2000: pip install --upgrade pillow",
    "HEIF": "pillow-heif: pip install 'tfi2i[heif]'",
}
_NAMES = {"AVIF": "AVIF", "JPEG2000": "JPEG 2000", "HEIF": "HEIC"}


def _is_there(name: str) -> bool:
    if name == "HEIF":
        return importlib.util.find_spec("pillow_heif") is not None
    feature = {"AVIF": "avif", "JPEG2000": "jpg_2000"}.get(name)
    return feature is None or bool(features.check(feature))


FORMATS = tuple(name for name in _SUFFIXES if _is_there(name))
"""Pillow's names of the formats that are read here."""
_PILLOWS = tuple(name for name in FORMATS if name not in ("MPO", "HEIF"))  # MPO opens as JPEG
PICTURE_SUFFIXES = frozenset(suffix for name in FORMATS for suffix in _SUFFIXES[name])
"""The lower-case file name suffixes that count as pictures in a folder."""
READ = "PNG, JPEG, WebP, AVIF, BMP, TIFF, GIF, JPEG 2000 or PPM/PGM"
"""The formats for a sentence."""

_TIFF = "grey, grey with alpha, RGB or RGBA, uncompressed or with LZW or deflate"

_BRANDS = {b"avif": "AVIF", b"avis": "AVIF"}
_BRANDS |= dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "HEIF")
_BRANDS |= dict.fromkeys((b"mif1", b"msf1"), "HEIF")  # unless a later brand says AVIF


def missing(start: bytes) -> str | None:
    """End of a sentence on a file of a format that this installation does not read; None: another.

    Args:
        start: First bytes of the file, 64 or more.
    """
    name = _boxed(start)
    if name is None or name in FORMATS:
        return None
    return f"is {_NAMES[name]}, which needs {_NEEDS[name]}"


def opened(file: BinaryIO) -> Image.Image:
    """The picture in a file that starts at its first byte, not loaded yet; raises as Pillow."""
    start = file.read(64)
    file.seek(0)
    if _boxed(start) == "HEIF":
        _register_heif()
        return Image.open(file, formats=("HEIF",))
    return Image.open(file, formats=_PILLOWS)


@functools.cache
def _register_heif() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)


def _boxed(start: bytes) -> str | None:
    """AVIF or HEIF by the brands of a file's first box; None for every other file."""
    if start[4:8] != b"ftyp":
        return None
    first = _BRANDS.get(start[8:12])
    size = min(int.from_bytes(start[:4], "big"), len(start))
    others = {start[i : i + 4] for i in range(16, size - 3, 4)}
    return "AVIF" if first and others & {b"avif", b"avis"} else first


def unread(file: BinaryIO) -> str:
    """End of a sentence on a file that Pillow takes for no picture."""
    file.seek(0)
    start = file.read(64)
    if name := _boxed(start):
        return f"is a damaged or incomplete {_NAMES[name]} file; copy it again or remove it."
    with contextlib.suppress(*tiff.ERRORS):  # then it is damaged, or no TIFF either
        if tags := tiff.tags_of(file):
            return f"is {_tiff_kind(tags)}; give {_TIFF}."
    return f"is not a picture that can be read; give {READ}."


def _tiff_kind(tags: tiff.Tags) -> str:
    channels, bits = tiff.channels_of(tags), max(tags.get(258, (1,)))
    number = "floating-point" if max(tags.get(339, (1,))) == 3 else "whole"
    named = f"{channels} channel{'s' * (channels != 1)}"
    read = f", which is read where model.channels is {channels}" if channels in (2, 4) else ""
    return f"a TIFF file of {named} of {bits}-bit {number} numbers{read}"


def too_large(image: Any, byte_count: int) -> str | None:
    """End of a sentence on a picture that is not decoded because of the size it claims, or None."""
    count = image.width * image.height
    if count > MAX_PIXELS:
        return f"has more than {MAX_PIXELS // 10**6} million pixels; scale it down first."
    most = PIXELS_A_BYTE.get(image.format or "", MOST_PIXELS_A_BYTE)
    if count > max(FREE_PIXELS, most * byte_count):
        return (
            f"claims {image.width:,} x {image.height:,} pixels in {byte_count:,} bytes; above "
            f"{FREE_PIXELS // 10**6} million pixels a {image.format} needs a byte for every "
            f"{most:,} of them."
        )
    return None


def require_megapixels(image: Any, label: str, most: int) -> None:
    """Raises `InputError` for a picture of more millions of pixels than are wanted."""
    count = image.width * image.height
    if count > most * 10**6:
        raise InputError(
            f"{label} has {count:,} pixels ({image.width:,} x {image.height:,}), "
            f"and the limit is {most} million; scale it down first, or lift the limit by "
            f"--megapixels of translate or data.megapixels, up to {MOST_MEGAPIXELS}."
        )


def check_tiff(image: Image.Image, byte_count: int) -> None:
    """Raises `ValueError` for a TIFF whose strips or tiles cannot hold the rows that it claims.

    Its decoder would leave the rest black.
    """
    tags: Any = getattr(image, "tag_v2", {})
    width, height = tags.get(256, image.width), tags.get(257, image.height)
    offsets = tags.get(324) or tags.get(273) or ()
    counts = tags.get(325) or tags.get(279) or ()
    planes = tags.get(277, 1) if tags.get(284, 1) == 2 else 1
    if 324 in tags:
        across, down = (
            math.ceil(n / max(tags.get(k, n), 1)) for n, k in ((width, 322), (height, 323))
        )
        needed, parts = across * down, "tiles"
    else:
        needed, parts = math.ceil(height / min(max(tags.get(278, height), 1), height)), "strips"
    if len(offsets) < needed * planes:
        raise ValueError(
            f"its {height:,} rows need {needed * planes:,} {parts} and it has {len(offsets):,}"
        )
    ends = (start + count for start, count in zip(offsets, counts, strict=False))
    if max(ends, default=0) > byte_count:
        raise ValueError(f"its {parts} end behind its {byte_count:,} bytes")
    bits = tags.get(258, (1,))
    raw = width * height * (sum(bits) if len(bits) > 1 else bits[0] * tags.get(277, 1)) // 8
    if counts and tags.get(259, 1) == 1 and sum(counts) < raw * 3 // 4:
        raise ValueError(f"its {height:,} rows need {raw:,} bytes and it has {sum(counts):,}")


_SAID = {
    **{".heic": "HEIC", ".heif": "HEIC", ".hif": "HEIC", ".jxl": "JPEG XL", ".svg": "SVG"},
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"), "camera raw"),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"), "video"),
    **dict.fromkeys((".dcm", ".dicom"), "DICOM"),
    **dict.fromkeys((".nii", ".nrrd", ".mha"), "volume"),
    **dict.fromkeys((".exr", ".hdr"), "HDR"),
}


def kind_of(name: PurePath) -> str:
    """Kind of a file that is passed over, for people: HEIC, video, TXT ..."""
    suffix = name.suffix.lower()
    for known, suffixes in _SUFFIXES.items():
        if suffix in suffixes:
            return f"{_NAMES[known]} (needs {_NEEDS[known]})"
    return _SAID.get(suffix) or printable(suffix[1:].upper()) or "without a suffix"


def counted(kinds: Iterable[str]) -> str:
    """Kinds with their numbers, the most frequent first: "6 HEIC, 2 TXT"."""
    most = Counter(kinds).most_common()
    shown = ", ".join(f"{count} {kind}" for kind, count in most[:6])
    return shown + (f" and {sum(c for _, c in most[6:])} of other kinds" if most[6:] else "")
