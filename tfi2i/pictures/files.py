"""Picture files: the only place that decodes and writes them. Needs Pillow, not TensorFlow.

Whatever a file holds (palette, 16 bits, CMYK, a camera's rotation tag, a colour profile) comes out
as upright 8-bit sRGB pixels, so that no caller has to know. Files are treated as hostile: only the
formats below are tried, their size is bounded before they are decoded, and every failure of a
decoder is an `InputError` that names the file.
"""

import contextlib
import io
import secrets
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from tfi2i.errors import InputError
from tfi2i.files import replacing
from tfi2i.pictures.pixels import Pixels, are_pixels

MAX_PIXELS = 178_000_000
"""The largest picture that is decoded; Pillow itself refuses from 178,956,971 pixels on."""

# Pillow knows more, some of which start other programs (EPS) or are rarely tested with bad input.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM")

PICTURE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
    | {".ppm", ".pgm", ".pbm", ".pnm"}
)
"""The lower-case file name suffixes that count as pictures in a folder."""

# Without subsampling: colour edges are what a translation is judged by.
_JPEG = {"format": "JPEG", "quality": 95, "subsampling": 0}
_WRITERS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    **dict.fromkeys((".jpg", ".jpeg", ".jfif"), _JPEG),
    **dict.fromkeys((".tif", ".tiff"), {"format": "TIFF", "compression": "tiff_adobe_deflate"}),
    ".webp": {"format": "WEBP", "lossless": True, "exact": True},
    ".bmp": {"format": "BMP"},
    ".ppm": {"format": "PPM"},
}
WRITABLE_SUFFIXES = frozenset(_WRITERS)
"""The lower-case suffixes that `write_picture` accepts."""
ALPHA_SUFFIXES = frozenset({".png", ".webp", ".tif", ".tiff"})
"""Those of them whose files can carry an alpha channel."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture: upright, 8-bit sRGB.

    Attributes:
        pixels: (H, W, 3) uint8.
        alpha: (H, W) uint8, 255 is opaque; None where the file has no transparency.
        mode: Pillow's name for what the file holds ("RGB", "P", "I;16" ...).
        format: Pillow's name of the file's format ("PNG", "JPEG" ...), whatever its suffix says.
    """

    pixels: Pixels
    alpha: Pixels | None
    mode: str
    format: str


class _PillowSilenced:
    """Silences Pillow's own warnings while at least one thread is inside.

    `warnings.catch_warnings` alone is not safe here: when two threads that decode pictures leave it
    in another order than they entered, the filters of the whole process stay changed.
    """

    _lock = threading.Lock()
    _inside = 0
    _filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)


_pillow_silenced = _PillowSilenced()


def read_picture(source: Path | str | bytes, name: str | None = None) -> Picture:
    """The picture in a file or in a file's bytes, the first frame if it is animated.

    16-bit and floating-point pictures are scaled to 8 bits, not clipped; a floating-point one must
    lie in 0..1 or in 0..255. A valid colour profile is converted to sRGB, a broken one ignored.

    Args:
        source: File's path, or its contents.
        name: Name of the picture in an error message; without it, the path.

    Raises:
        InputError: There is no such file, it is no picture of a supported format, damaged, larger
            than `MAX_PIXELS`, or holds values without a meaning as a colour.
    """
    if isinstance(source, bytes):
        return _decoded(io.BytesIO(source), len(source), name or "the picture")
    path = Path(source)
    label = name or str(path)
    try:
        if path.is_dir():
            raise InputError(f"{label} is a folder, not a picture; name a file in it.")
        if not path.exists():
            raise InputError(f"There is no picture {label}; check the path.")
        if not path.is_file():
            raise InputError(f"{label} is not a regular file; name a picture file.")
        with path.open("rb") as file:
            return _decoded(file, path.stat().st_size, label)
    except OSError as error:
        raise InputError(
            f"{label} cannot be read ({error.strerror or error}); check its permissions."
        ) from error


def _decoded(file: BinaryIO, byte_count: int, label: str) -> Picture:
    """The picture in an open file; every failure is an `InputError`."""
    if byte_count == 0:
        raise InputError(f"{label} is empty (0 bytes); remove it or copy it again.")
    try:
        with _pillow_silenced, Image.open(file, formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            mode, file_format = image.mode, image.format or "unknown"
            image.load()
            # A broken orientation tag counts as none. Pillow has already turned a TIFF by now.
            with contextlib.suppress(Exception):
                ImageOps.exif_transpose(image, in_place=True)
            pixels, alpha = _srgb(image, label)
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(
            f"{label} is not a picture that can be read; give PNG, JPEG, WebP, BMP, TIFF, GIF "
            "or PPM/PGM."
        ) from error
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{label} has more than {MAX_PIXELS // 10**6} million pixels; scale it down first."
        ) from error
    # Decoders fail on damaged files with nearly every exception there is (SyntaxError, IndexError,
    # struct.error, zlib.error ...); none of them may reach the user as a traceback.
    except Exception as error:
        raise InputError(
            f"{label} is damaged or incomplete ({str(error) or type(error).__name__}); copy it "
            "again or remove it."
        ) from error
    return Picture(pixels, alpha, mode, file_format)


def _srgb(image: Image.Image, label: str) -> tuple[Pixels, Pixels | None]:
    """The (H, W, 3) pixels and (H, W) alpha of an image of any mode."""
    if image.mode == "F" or image.mode.startswith("I"):
        return _grey_from_wide(image, label)
    if image.mode == "La":  # premultiplied; Pillow converts it to nothing but this
        image = image.convert("LA")
    alpha = None
    profile = image.info.get("icc_profile")
    if image.has_transparency_data:
        grey = image.mode in {"1", "L", "LA"}
        image = image.convert("RGBA")
        alpha = np.array(image.getchannel("A"), np.uint8)
        image = image.convert("RGB")
        if grey and profile:
            image = image.getchannel("R")  # the three are equal: as the grey profile expects
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode not in {"L", "RGB", "CMYK"}:
        # LAB is absolute and Pillow converts it to sRGB itself.
        profile = None if image.mode == "LAB" else profile
        image = image.convert("RGB")
    if profile:
        srgb = ImageCms.createProfile("sRGB")
        # One that is broken, or for another kind of image (grey scans often carry an RGB one), says
        # nothing about these values.
        with contextlib.suppress(ImageCms.PyCMSError):
            given = io.BytesIO(profile)
            image = ImageCms.profileToProfile(image, given, srgb, outputMode="RGB") or image
    return np.array(image.convert("RGB"), np.uint8), alpha


def _grey_from_wide(image: Image.Image, label: str) -> tuple[Pixels, Pixels | None]:
    """Pixels and alpha of a grey image of more than 8 bits; Pillow's own conversion clips."""
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise InputError(f"{label} holds NaN or infinite values; replace them first.")
    low, high, wide = values.min(), values.max(), values.dtype.kind != "f"
    if low < 0 or high > (65535 if wide else 255):
        raise InputError(
            f"{label} holds whole numbers from {low} to {high}; save it with 8 or 16 bits a "
            "channel (0..65535)."
            if wide
            else f"{label} holds floating-point values from {low:g} to {high:g}; scale them to "
            "0..1 or 0..255."
        )
    scaled = values / 257.0 if wide else values * (255.0 if high <= 1 else 1.0)
    grey = np.rint(scaled).astype(np.uint8)
    clear = image.info.get("transparency")
    alpha = np.where(values == clear, 0, 255).astype(np.uint8) if isinstance(clear, int) else None
    return np.repeat(grey[..., None], 3, axis=-1), alpha


def picture_paths(folder: Path | str) -> list[Path]:
    """The picture files in a folder and all its sub-folders, sorted.

    Hidden files and folders are left out: they hold thumbnails, caches and macOS' "._" shadows of
    pictures. Links to folders are followed, each folder once.

    Raises:
        InputError: It is not a folder, or a folder cannot be listed.
    """
    folder = Path(folder)
    try:
        what = "" if folder.is_dir() else "a file, not a folder" if folder.exists() else "not there"
    except OSError as error:
        what = f"not accessible ({error.strerror or error})"
    if what:
        raise InputError(f"The folder {folder} is {what}; name a folder of pictures.")
    found: list[Path] = []
    seen: set[tuple[int, int] | None] = set()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            for entry in [] if file_key(here) in seen else sorted(here.iterdir()):
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():  # links last: a folder is listed under its own name if it can be
                    waiting.insert(0 if entry.is_symlink() else len(waiting), entry)
                elif entry.suffix.lower() in PICTURE_SUFFIXES and entry.is_file():
                    found.append(entry)
        except OSError as error:
            raise InputError(
                f"The folder {here} cannot be listed ({error.strerror or error}); check its "
                "permissions."
            ) from error
        seen.add(file_key(here))
    return sorted(found)


def file_key(path: Path) -> tuple[int, int] | None:
    """Equal for two paths of one file, through links and whatever the case; None without a file."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def writable_suffix(text: str) -> str:
    """The suffix, such as ".png", of a format that pictures can be written in: png, .PNG ...

    Raises:
        InputError: They cannot be.
    """
    suffix = f".{text.lower().removeprefix('.')}"
    if suffix not in WRITABLE_SUFFIXES:
        raise InputError(
            f"Pictures cannot be written as {text!r}; use one of "
            f"{', '.join(sorted(WRITABLE_SUFFIXES))}."
        )
    return suffix


def write_picture(path: Path | str, pixels: Pixels, alpha: Pixels | None = None) -> None:
    """Writes (H, W, 3) or grey (H, W, 1) pixels in the format of the path's suffix, whole or not.

    PNG, WebP and TIFF are lossless; JPEG is written at quality 95 without colour subsampling.

    Args:
        path: Replaced if it exists.
        pixels: Uint8 sRGB.
        alpha: (H, W) uint8. A format that cannot hold it is refused, unless it is all 255.

    Raises:
        InputError: The suffix, the format's limits, the shapes or the disk do not allow it.
    """
    path = Path(path)
    options = _WRITERS.get(path.suffix.lower())
    if options is None:
        raise InputError(
            f"{path} cannot be written as {path.suffix or 'a file without suffix'!r}; use one of "
            f"{', '.join(sorted(WRITABLE_SUFFIXES))}."
        )
    if not are_pixels(pixels, 3) and not are_pixels(pixels, 3, 1):
        raise InputError(
            f"{path}: pixels must be uint8 (H, W, 3) or (H, W, 1), not {pixels.dtype} "
            f"{pixels.shape}."
        )
    if alpha is not None:
        if alpha.shape != pixels.shape[:2] or alpha.dtype != np.uint8:
            raise InputError(
                f"{path}: alpha must be uint8 {pixels.shape[:2]}, not {alpha.dtype} {alpha.shape}."
            )
        if path.suffix.lower() in ALPHA_SUFFIXES:
            pixels = np.dstack([pixels, alpha])
        elif alpha.min() < 255:
            raise InputError(
                f"{path}: {options['format']} cannot hold the picture's transparency; write it "
                "as .png, .webp or .tif."
            )
    image = Image.fromarray(
        np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    )
    try:
        path.parent.stat()  # or `replacing` would make a folder that is not there
        # A name of its own: that of the picture may be as long as names can be, and two programs
        # may write the same picture.
        name = f"tfi2i-{secrets.token_hex(6)}"
        with replacing(path, name) as temporary, temporary.open("wb") as file:
            image.save(file, **options)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be written ({reason}).") from error
