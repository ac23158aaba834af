"""Pixels are uint8 0..255, an image is float32 [-1, 1]: the only place that knows 127.5.

Levels are pixels that are not rounded: floats in 0..255.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfi2i.errors import InputError


def require_pixels(name: str, pixels: NDArray[np.uint8]) -> None:
    """Raises `InputError` unless these are uint8 pictures (N, H, W, 3), at least one."""
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[-1] != 3 or not pixels.size:
        raise InputError(
            f"{name} is {pixels.dtype} {pixels.shape}; give uint8 pictures (N, H, W, 3)."
        )


def from_levels(levels: Any) -> Any:
    """Levels to an image; arrays and tensors of any kind that computes with floats."""
    return levels / 127.5 - 1


def to_levels(image: Any) -> Any:
    """An image to levels; arrays and tensors of any kind that computes with floats."""
    return (image + 1) * 127.5


def to_image(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pixels of any shape, uint8 0..255, to an image, float32 in [-1, 1]."""
    return from_levels(np.asarray(pixels, np.float32))


def to_pixels(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """An image of any shape in [-1, 1] to pixels, uint8 0..255, rounded and saturated."""
    levels = to_levels(np.asarray(image, np.float32))
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def run_over(
    function: Callable[[Any], Any], pixels: NDArray[np.uint8], batch: int = 8
) -> NDArray[np.uint8]:
    """Pixels (N, S, S, 3) through a function image -> image, a few at a time."""
    images = to_image(pixels)
    chunks = [images[i : i + batch] for i in range(0, len(images), batch)]
    return np.concatenate([to_pixels(np.asarray(function(chunk))) for chunk in chunks])
