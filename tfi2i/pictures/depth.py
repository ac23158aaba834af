"""Values of more than 8 bits: 16-bit, whole-number and floating-point pictures, grey or in colour.

Pillow keeps one such channel as it is, but cuts colour to 8 bits.
"""

import contextlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tfi2i.errors import InputError
from tfi2i.pictures.pixels import sixteen_bit

Range = tuple[float, float]


class Ranges(NamedTuple):
    """Numbers in files of what goes in and what comes out: black and white; None: pixels."""

    source: Range | None = None
    target: Range | None = None


PLAIN = Ranges()
SIXTEEN_BITS = (0.0, 65535.0)
"""The range in which numbers of 16 bits are what they are."""


class Values(NamedTuple):
    """The numbers in a picture file.

    Attributes:
        array: (H, W) or (H, W, 3) numbers, as the file holds them.
        alpha: (H, W) uint8, or None.
        full: Range that such a file can fill; None where its numbers are no colours.
        deep: True where a channel has more than 8 bits.
    """

    array: NDArray[Any]
    alpha: NDArray[np.uint8] | None
    full: Range | None
    deep: bool

    @property
    def found(self) -> Range:
        """Smallest and largest number."""
        return float(self.array.min()), float(self.array.max())


class OutOfRange(InputError):
    """A picture holds numbers that are no colours, unless a range is given.

    Attributes:
        found: Smallest and largest of them.
    """

    def __init__(self, message: str, found: Range) -> None:
        super().__init__(message)
        self.found = found


def is_deep(image: Image.Image) -> bool:
    """Whether a picture that is open, but not loaded, has more than 8 bits a channel."""
    return image.mode == "F" or image.mode.startswith("I") or _raw_mode(image) in _HALVES


def full_range(values: NDArray[Any]) -> Range | None:
    """The range that whole or floating-point numbers like these can fill, None if they leave it."""
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        return None if low < 0 or high > 255 else (0.0, 1.0 if high <= 1 else 255.0)
    return None if low < 0 or high > 65535 else (0.0, 65535.0)


def grey_values(image: Image.Image, label: str) -> Values:
    """The values of a loaded picture of one wide channel; raises as `wide_values`."""
    values = np.asarray(image)
    clear = image.info.get("transparency")
    alpha = np.where(values == clear, 0, 255).astype(np.uint8) if isinstance(clear, int) else None
    return wide_values(values, alpha, label)


def wide_values(array: NDArray[Any], alpha: NDArray[np.uint8] | None, label: str) -> Values:
    """The values that an array of numbers of any type holds.

    Raises:
        InputError: They are not finite.
    """
    if not np.isfinite(array).all():
        raise InputError(f"{label} holds NaN or infinite values; replace them first.")
    if array.dtype == np.uint8:
        return Values(array, alpha, (0.0, 255.0), False)
    return Values(array, alpha, full_range(array), True)


def wide_pixels(values: Values, label: str) -> NDArray[np.uint8]:
    """Pixels of values in the range that they can fill, in the same shape.

    Raises:
        OutOfRange: They leave it.
    """
    low, high = values.array.min(), values.array.max()
    wide = values.array.dtype.kind != "f"
    if not values.deep:
        return values.array
    if values.full is None:
        raise OutOfRange(
            f"{label} holds whole numbers from {low} to {high}; save it with 8 or 16 bits a "
            "channel (0..65535), or train with data.value_range."
            if wide
            else f"{label} holds floating-point values from {low:g} to {high:g}; scale them to "
            "0..1 or 0..255, or train with data.value_range.",
            values.found,
        )
    full = values.array * (255.0 if high <= 1 else 1.0)
    return np.rint(values.array / 257.0 if wide else full).astype(np.uint8)


# Pillow takes one byte of two by one of these, and the other by the other.
_HALVES = {
    **{f"{mode};16{one}": f"{mode};16{other}" for mode in ("RGB", "RGBA", "RGBX")
       for one, other in ("BL", "LB", "NB" if sys.byteorder == "little" else "NL")},
    "LA;16B": "",
}  # fmt: skip


def _raw_mode(image: Image.Image) -> str:
    """Name of what the file's decoder gives, which tells 16 bits where the mode does not."""
    tile: Any = next(iter(getattr(image, "tile", ())), None)
    arguments = tile[3] if tile else ""
    return str(arguments[0] if isinstance(arguments, tuple | list) and arguments else arguments)


def colour_values(image: Image.Image, again: Callable[[], Image.Image]) -> Values:
    """The 16-bit values of a picture in colour or with alpha.

    Args:
        image: Picture that `is_deep` and is not loaded.
        again: Function that opens it once more.
    """
    name = _raw_mode(image)
    if name == "LA;16B":  # four bytes: two of grey, two of alpha
        _read_as(image, "RGBA")
        parts = np.asarray(upright(image)).astype(np.uint16)
        grey = parts[..., 0] << 8 | parts[..., 1]
        return Values(grey, parts[..., 2].astype(np.uint8), (0.0, 65535.0), True)
    high = np.asarray(upright(image)).astype(np.uint16)
    with again() as second:
        _read_as(second, _HALVES[name])
        low = np.asarray(upright(second)).astype(np.uint16)
    values = (high << 8 | low)[..., :3]
    alpha = high[..., 3].astype(np.uint8) if high.shape[-1] == 4 else None
    clear = image.info.get("transparency")
    if alpha is None and isinstance(clear, tuple) and len(clear) == 3:
        alpha = np.where((values == clear).all(-1), 0, 255).astype(np.uint8)
    return Values(values, alpha, (0.0, 65535.0), True)


def _read_as(image: Any, raw_mode: str) -> None:
    tiles = []
    for codec, extents, offset, arguments in image.tile:
        several = isinstance(arguments, tuple | list)
        changed = type(arguments)((raw_mode, *arguments[1:])) if several else raw_mode
        tiles.append((codec, extents, offset, changed))
    kind = type(next(iter(image.tile)))
    image.tile = [kind(*tile) for tile in tiles]


def upright(image: Image.Image) -> Image.Image:
    """Loads a picture and turns it as its camera's tag says; a broken tag counts as none."""
    image.load()
    # Pillow has already turned a TIFF by now.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)
    return image


def gathered(pixels: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    """Pixels 0..65535 as the numbers that they were before `spread`, in a type that files hold.

    Returns:
        Numbers of the same shape: uint8 or uint16 where low and high are whole numbers of those,
        else float32.
    """
    numbers = low + pixels.astype(np.float64) / 65535 * (high - low)
    if low < 0 or high > 65535 or not (float(low).is_integer() and float(high).is_integer()):
        return numbers.astype(np.float32)
    return np.rint(numbers).astype(np.uint8 if high <= 255 else np.uint16)


def spread(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint16]:
    """Values scaled to 0..65535, so that low becomes 0 and high 65535; what lies beyond, too."""
    shares = (values.astype(np.float64) - low) / (high - low)
    return np.rint(np.clip(shares, 0, 1) * 65535).astype(np.uint16)


def deep_png(numbers: NDArray[np.uint16], alpha: NDArray[np.uint8] | None) -> bytes:
    """A PNG file of numbers (H, W, C) with 16 bits a channel, of which Pillow writes grey alone."""
    import tensorflow as tf  # here, as what reads pictures does without it

    wide = [] if alpha is None else [sixteen_bit(alpha)[..., None]]
    return tf.io.encode_png(np.concatenate([numbers, *wide], -1)).numpy()
