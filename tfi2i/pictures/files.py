"""Picture files: the only place that decodes and writes them. Needs Pillow, not TensorFlow.

Whatever a file holds (palette, 16 bits, CMYK, a camera's rotation tag, a colour profile) comes out
as upright 8-bit sRGB pixels, so that no caller has to know. Files are treated as hostile: only the
formats below are tried, their size is bounded before they are decoded, and every failure of a
decoder is an `InputError` that names the file.
"""

import io
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tfi2i.errors import InputError
from tfi2i.files import obstacle, replacing
from tfi2i.limits import MEGAPIXELS
from tfi2i.pictures.bands import WideColours, wide_colours
from tfi2i.pictures.colours import srgb
from tfi2i.pictures.depth import (
    Range,
    Values,
    colour_values,
    deep_png,
    grey_values,
    is_deep,
    spread,
    upright,
    wide_pixels,
)
from tfi2i.pictures.formats import (
    MAX_PIXELS,
    check_tiff,
    missing,
    opened,
    require_megapixels,
    too_large,
    unread,
)
from tfi2i.pictures.libtiff import complaints, damage_in
from tfi2i.pictures.mending import check_sums, jpeg_without_end, png_without_damage
from tfi2i.pictures.pillow import pillow_silenced
from tfi2i.pictures.pixels import Pixels, are_pixels

_T = TypeVar("_T")
Opened = Image.Image | WideColours

_BLEED = 2  # pixels over which a JPEG's colours are smoothed beyond a block
_ORIENTATION = 0x0112  # EXIF's tag
_ANIMATED = ("GIF", "PNG", "WEBP", "AVIF", "TIFF")

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
    """A decoded picture: upright, 8-bit sRGB, or 16-bit where a range of values was given.

    Attributes:
        pixels: (H, W, 3) uint8, or uint16 where a range was given.
        alpha: (H, W) uint8, 255 is opaque; None where the file has no transparency.
        mode: Pillow's name for what the file holds ("RGB", "P", "I;16" ...).
        format: Pillow's name of the file's format ("PNG", "JPEG" ...), whatever its suffix says.
        deep: True where a channel of the file has more than 8 bits.
    """

    pixels: NDArray[Any]
    alpha: Pixels | None
    mode: str
    format: str
    deep: bool = False


def read_picture(
    source: Path | str | bytes,
    name: str | None = None,
    *,
    value_range: Range | None = None,
    frame: int = 0,
    megapixels: int = MEGAPIXELS,
) -> Picture:
    """The picture in a file or in a file's bytes, the first frame if it is animated.

    16-bit and floating-point pictures are scaled to 8 bits, not clipped; a floating-point one must
    lie in 0..1 or in 0..255. A valid colour profile is converted to sRGB, a broken one ignored.

    Args:
        source: File's path, or its contents.
        name: Name of the picture in an error message; without it, the path.
        value_range: Numbers in the file that become black and white. The pixels are uint16 then,
            0..65535, so that no depth is lost.
        frame: Number of the frame of an animation.
        megapixels: Largest picture that is decoded, in millions of pixels.

    Raises:
        InputError: There is no such file, it is no picture of a supported format, damaged, larger
            than the limits of `tfi2i.pictures.formats`, or holds values without a meaning as a
            colour.
    """

    def made(image: Opened, file: BinaryIO, label: str) -> Picture:
        require_megapixels(image, label, megapixels)
        check_sums(file)
        if frame and isinstance(image, Image.Image):
            image.seek(frame)
        mode, file_format = image.mode, image.format or "unknown"
        if value_range is None and not isinstance(image, WideColours):
            deep = is_deep(image)
            return Picture(*srgb(upright(image), label), mode, file_format, deep)
        values = _values(image, file, label, frame)
        if value_range is None:
            found: NDArray[Any] = wide_pixels(values, label)
        else:
            found = spread(values.array, *value_range)
        found = found if found.ndim == 3 else np.repeat(found[..., None], 3, axis=-1)
        return Picture(found, values.alpha, mode, file_format, values.deep)

    return _read(source, name, made)


def read_values(
    source: Path | str | bytes, name: str | None = None, *, megapixels: int = MEGAPIXELS
) -> Values:
    """The numbers in a file, of its first frame; of 8 bits those of its sRGB pixels.

    Raises:
        InputError: As `read_picture`, but for values without a meaning as a colour.
    """

    def made(image: Opened, file: BinaryIO, label: str) -> Values:
        require_megapixels(image, label, megapixels)
        check_sums(file)
        return _values(image, file, label)

    return _read(source, name, made)


class Header(NamedTuple):
    """Facts of a picture file that need no decoding.

    Attributes:
        deep: True where a channel has more than 8 bits.
        frames: Number of frames or pages.
    """

    deep: bool
    frames: int


def read_header(source: Path | str | bytes, name: str | None = None) -> Header:
    """The facts of a file without its pixels.

    Raises:
        InputError: It is no picture, or one that is not decoded because of its size.
    """

    def made(image: Opened, file: BinaryIO, label: str) -> Header:
        deep, frames = image.deep if isinstance(image, WideColours) else is_deep(image), 1
        if image.format in _ANIMATED and getattr(image, "is_animated", False):
            frames = int(getattr(image, "n_frames", 1))
        return Header(deep, frames)

    return _read(source, name, made)


def read_size(source: Path | bytes, name: str | None = None) -> tuple[int, int]:
    """Height and width by a file's header, as a JPEG's camera tag turns them; as `read_header`."""

    def made(image: Opened, file: BinaryIO, label: str) -> tuple[int, int]:
        turned = False
        if isinstance(image, Image.Image) and image.format == "JPEG":  # others would be loaded
            turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
        return (image.width, image.height) if turned else (image.height, image.width)

    return _read(source, name, made)


PLAIN_SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".bmp"})
"""The suffixes of files whose headers need no look: 8 bits, one frame."""


def frame_count(path: Path) -> int:
    """Number of frames in a picture file; 1 if it cannot be told, as of a damaged one."""
    if path.suffix.lower() in PLAIN_SUFFIXES:
        return 1
    try:
        return read_header(path).frames
    except InputError:
        return 1


def _read(
    source: Path | str | bytes,
    name: str | None,
    work: Callable[[Opened, BinaryIO, str], _T],
) -> _T:
    """Returns what `work` makes of the picture that is open in a file under a label."""
    if isinstance(source, bytes):
        return _decoded(io.BytesIO(source), len(source), name or "the picture", work)
    path = Path(source)
    label = name or str(path)
    try:
        if told := obstacle(path):
            raise InputError(f"{label} {told}; name a picture file.")
        if path.is_dir():
            raise InputError(f"{label} is a folder, not a picture; name a file in it.")
        if not path.exists():
            raise InputError(f"There is no picture {label}; check the path.")
        with path.open("rb") as file:
            return _decoded(file, path.stat().st_size, label, work)
    except OSError as error:
        raise InputError(
            f"{label} cannot be read ({error.strerror or error}); check its permissions."
        ) from error


def _decoded(
    file: BinaryIO,
    byte_count: int,
    label: str,
    work: Callable[[Opened, BinaryIO, str], _T],
) -> _T:
    """Returns what `work` makes of an open file; every failure is an `InputError`."""
    if byte_count == 0:
        raise InputError(f"{label} is empty (0 bytes); remove it or copy it again.")
    start = file.read(64)
    if reason := missing(start):
        raise InputError(f"{label} {reason}.")
    try:
        with pillow_silenced:
            try:
                return _worked(file, byte_count, label, work)
            except (InputError, Image.DecompressionBombError):
                raise
            except Exception:
                if (mended := _mended(file)) is None:
                    raise
                return _worked(io.BytesIO(mended), len(mended), label, work)
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"{label} {unread(file)}") from error
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


def _worked(
    file: BinaryIO,
    byte_count: int,
    label: str,
    work: Callable[[Opened, BinaryIO, str], _T],
) -> _T:
    if (wide := wide_colours(file)) is not None:
        if reason := too_large(wide, byte_count):
            raise InputError(f"{label} {reason}")
        return work(wide, file, label)
    file.seek(0)
    with complaints() as found, opened(file) as image:
        if reason := too_large(image, byte_count):
            raise InputError(f"{label} {reason}")
        if image.format == "TIFF":
            check_tiff(image, byte_count)
        made = work(image, file, label)
    if reason := damage_in(found):
        raise InputError(
            f"{label} is damaged or incomplete ({reason}); copy it again or remove it."
        )
    return made


def _mended(file: BinaryIO) -> bytes | None:
    """The bytes of a file whose pixels are all there, so that they can be decoded, or None.

    Of a JPEG, a bit may be missing in the last block, whose end cannot be told from the file's.
    """
    file.seek(0)
    data = file.read()
    endings = jpeg_without_end(data)
    if not endings:
        return png_without_damage(data)
    looks = []
    for ending in endings:
        with Image.open(io.BytesIO(ending), formats=("JPEG",)) as image:
            if too_large(image, len(data)):
                return None
            looks.append(np.asarray(image))
    height, width = (16 * ((side - 1) // 16) - _BLEED for side in looks[0].shape[:2])
    differing = np.nonzero(looks[0] != looks[1])
    in_place = all(
        (at >= least).all() for at, least in zip(differing, (height, width), strict=False)
    )
    return endings[1] if in_place else None


def _values(image: Opened, file: BinaryIO, label: str, frame: int = 0) -> Values:
    """The values of a picture that is open, but not loaded."""
    if isinstance(image, WideColours):
        return image.values(label)

    def again() -> Image.Image:
        file.seek(0)
        second = opened(file)
        if frame:
            second.seek(frame)
        return second

    if not is_deep(image):
        pixels, alpha = srgb(upright(image), label)
        return Values(pixels, alpha, (0.0, 255.0), False)
    if len(image.getbands()) > 1:
        return colour_values(image, again)
    return grey_values(upright(image), label)


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


def deep_suffixes(numbers: NDArray[Any], alpha: Pixels | None) -> tuple[str, ...]:
    """The suffixes of formats that hold numbers (H, W, C) of more than 8 bits: uint16, float32."""
    plain = numbers.shape[-1] == 1 and (alpha is None or alpha.min() == 255)
    tiff = (".tif", ".tiff") if plain and numbers.dtype in (np.uint16, np.float32) else ()
    return (".png", *tiff) if numbers.dtype == np.uint16 else tiff


def write_picture(path: Path | str, pixels: NDArray[Any], alpha: Pixels | None = None) -> None:
    """Writes (H, W, 3) or grey (H, W, 1) pixels in the format of the path's suffix, whole or not.

    PNG, WebP and TIFF are lossless; JPEG is written at quality 95 without colour subsampling.

    Args:
        path: Replaced if it exists.
        pixels: Uint8 sRGB; or numbers of more bits, for the suffixes that `deep_suffixes` names.
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
    deep = pixels.ndim == 3 and pixels.shape[-1] in (1, 3)
    deep = deep and path.suffix.lower() in deep_suffixes(pixels, alpha)
    if not deep and not are_pixels(pixels, 3) and not are_pixels(pixels, 3, 1):
        raise InputError(
            f"{path}: pixels must be uint8 (H, W, 3) or (H, W, 1), not {pixels.dtype} "
            f"{pixels.shape}."
        )
    if alpha is not None:
        if alpha.shape != pixels.shape[:2] or alpha.dtype != np.uint8:
            raise InputError(
                f"{path}: alpha must be uint8 {pixels.shape[:2]}, not {alpha.dtype} {alpha.shape}."
            )
        if path.suffix.lower() in ALPHA_SUFFIXES and not deep:
            pixels = np.dstack([pixels, alpha])
        elif alpha.min() < 255 and not deep:
            raise InputError(
                f"{path}: {options['format']} cannot hold the picture's transparency; write it "
                "as .png, .webp or .tif."
            )
    content = io.BytesIO()
    try:
        if deep and path.suffix.lower() == ".png":
            content.write(deep_png(pixels, alpha))
        else:
            one = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
            Image.fromarray(np.ascontiguousarray(one)).save(content, **options)
        path.parent.stat()  # or `replacing` would make a folder that is not there
        # A name of its own: that of the picture may be as long as names can be, and two programs
        # may write the same picture.
        name = f"tfi2i-{secrets.token_hex(6)}"
        with replacing(path, name) as temporary, temporary.open("wb") as file:
            file.write(content.getbuffer())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be written ({reason}).") from error
