"""Pictures scaled to the size that a system sees."""

from typing import Any

import numpy as np
from PIL import Image

from tfi2i.data.domains import Pixels
from tfi2i.pictures.sizes import AnySize, height_and_width, squash_note

LARGEST_ASPECT = 8  # a strip is cut to this before "crop" scales its short side up
LOOKED_AT = 16  # pictures of a domain, whose shapes stand for all


def scaled_for_crop(pixels: Pixels, load_size: AnySize, aspect: str) -> Pixels:
    """Pixels (H, W, C) scaled to `load_size`, or with "crop" to the least that holds it."""
    rows, columns = height_and_width(load_size)
    if aspect == "squash":
        return _resized(pixels, (columns, rows))
    height, width = pixels.shape[:2]
    # Without this limit a picture of 1 x 100000 pixels would be scaled up to gigabytes.
    height, width = (
        max(1, min(height, LARGEST_ASPECT * width * rows // columns)),
        max(1, min(width, LARGEST_ASPECT * height * columns // rows)),
    )
    scale = max(rows / height, columns / width)
    size = max(columns, round(width * scale)), max(rows, round(height * scale))
    return _resized(_centre(pixels, height, width), size)


def scaled_to(pixels: Pixels, image_size: AnySize, aspect: str) -> Pixels:
    """Pixels (H, W, C) scaled to a size, whole or with "crop" the centre of its proportions."""
    rows, columns = height_and_width(image_size)
    if aspect == "crop":
        height, width = pixels.shape[:2]
        fitting = (
            min(height, round(width * rows / columns)),
            min(width, round(height * columns / rows)),
        )
        pixels = _centre(pixels, max(1, fitting[0]), max(1, fitting[1]))
    return _resized(pixels, (columns, rows))


def squash_notes(data: Any, size: AnySize) -> list[str]:
    """Sentences about domains whose first training pictures lose their proportions.

    Args:
        data: `Dataset` whose pictures are squashed.
        size: Size that they are squashed to.
    """
    notes = []
    for domain in data.train.values():
        first = range(min(len(domain), LOOKED_AT))
        side = max(height_and_width(size))
        read = (domain.read_or_none(index, side) for index in first)
        shapes = [pixels.shape[:2] for pixels in read if pixels is not None]
        notes.append(squash_note(shapes, size, domain.where))
    return [note for note in notes if note]


def _resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Pixels scaled to (width, height) with Pillow's antialiased bilinear filter."""
    if pixels.shape[:2] == size[::-1]:
        return pixels
    if pixels.dtype == np.uint16:  # which Pillow scales as floats, one channel at a time
        channels = np.moveaxis(pixels.astype(np.float32), -1, 0)
        return np.rint(np.dstack([_scaled(one, size) for one in channels])).astype(np.uint16)
    if pixels.shape[-1] == 3:
        return _scaled(pixels, size)
    return np.dstack([_scaled(channel, size) for channel in np.moveaxis(pixels, -1, 0)])


def _scaled(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR))


def _centre(pixels: Pixels, height: int, width: int) -> Pixels:
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]
