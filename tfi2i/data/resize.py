"""Pictures scaled to the squares that a system sees."""

import numpy as np
from PIL import Image

from tfi2i.data.domains import Pixels

LARGEST_ASPECT = 8  # a strip is cut to this before "crop" scales its short side up


def scaled_for_crop(pixels: Pixels, load_size: int, aspect: str) -> Pixels:
    """Pixels (H, W, 3) scaled to (L, L, 3), or with "crop" to a short side of L."""
    if aspect == "squash":
        return _resized(pixels, (load_size, load_size))
    short = min(pixels.shape[:2])
    # Without this limit a picture of 1 x 100000 pixels would be scaled up to gigabytes.
    height, width = (min(side, LARGEST_ASPECT * short) for side in pixels.shape[:2])
    scale = load_size / short
    size = max(load_size, round(width * scale)), max(load_size, round(height * scale))
    return _resized(_centre(pixels, height, width), size)


def scaled_to_square(pixels: Pixels, image_size: int, aspect: str) -> Pixels:
    """Pixels (H, W, 3) scaled to (S, S, 3), whole or with "crop" the centre square."""
    if aspect == "crop":
        short = min(pixels.shape[:2])
        pixels = _centre(pixels, short, short)
    return _resized(pixels, (image_size, image_size))


def _resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Pixels scaled to (width, height) with Pillow's antialiased bilinear filter."""
    if pixels.shape[:2] == size[::-1]:
        return pixels
    if pixels.dtype == np.uint16:  # which Pillow scales as floats, one channel at a time
        channels = np.moveaxis(pixels.astype(np.float32), -1, 0)
        return np.rint(np.dstack([_scaled(one, size) for one in channels])).astype(np.uint16)
    return _scaled(pixels, size)


def _scaled(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR))


def _centre(pixels: Pixels, height: int, width: int) -> Pixels:
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]
