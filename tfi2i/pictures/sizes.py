"""Sizes of pictures: a number of pixels for squares, else height and width, in this order.

In text, such as options and names of files, height comes first too: 192x256 is wider than high.
"""

import math
import operator
import re
from collections.abc import Iterable, Sequence

from tfi2i.errors import InputError

Size = tuple[int, int]
"""Height and width."""
AnySize = int | Sequence[int]
"""Side of squares, or height and width."""

DISTORTION = 1.1
"""Factor between the proportions of two shapes from which one is a distortion of the other."""


def height_and_width(size: AnySize) -> Size:
    """The (H, W) of a size."""
    height, width = size if isinstance(size, Iterable) else (size, size)
    return operator.index(height), operator.index(width)


def simplest(size: AnySize) -> int | Size:
    """A number for squares, else (H, W)."""
    height, width = height_and_width(size)
    return height if height == width else (height, width)


def size_text(size: AnySize, between: str = "x") -> str:
    """Text such as 256 for squares, and 192x256 for others."""
    size = simplest(size)
    return str(size) if isinstance(size, int) else between.join(map(str, size))


def sizes_of(option: str, text: str) -> tuple[Size, ...]:
    """The (H, W) of each size in the text of an option, such as 256,192x256.

    Raises:
        InputError: It is not such a text.
    """
    found = [re.fullmatch(r"(\d{1,6})(?:x(\d{1,6}))?", one.strip()) for one in text.split(",")]
    sizes = [(int(one[1]), int(one[2] or one[1])) for one in found if one]
    if len(sizes) < len(found) or min(map(min, sizes), default=0) < 1:
        raise InputError(
            f"{option} {text}: give sizes in pixels with commas between, a number for squares and "
            "HEIGHTxWIDTH for others, such as 256,192x256."
        )
    return tuple(sizes)


def distortion(shape: Sequence[int], size: AnySize) -> float:
    """Factor, 1 or more, by which the proportions of a picture (H, W) and of a size differ."""
    height, width = height_and_width(size)
    factor = shape[1] * height / (shape[0] * width)
    return max(factor, 1 / factor)


def squash_note(shapes: Iterable[Sequence[int]], size: AnySize, where: str) -> str | None:
    """Sentence about pictures that lose their proportions when they are squashed to a size.

    Args:
        shapes: Heights and widths of pictures.
        size: Size that they are squashed to.
        where: Name of what holds them.

    Returns:
        None where the typical picture is distorted by less than `DISTORTION`.
    """
    ordered = sorted(shapes, key=lambda shape: distortion(shape, size))
    if not ordered:
        return None
    typical = ordered[len(ordered) // 2]
    factor = distortion(typical, size)
    if factor <= DISTORTION:
        return None
    found, seen = (" x ".join(map(str, one)) for one in (typical, height_and_width(size)))
    return (
        f"{where}: batches.aspect squashes pictures such as {found} (height x width) to {seen}, a "
        f"distortion by {factor:.2f} that "
        "translate does not make; keep their proportions by model.image_size="
        f"{list(_alike(typical, size))} or batches.aspect=crop."
    )


def _alike(shape: Sequence[int], size: AnySize) -> Size:
    """A size of multiples of 16, 8 or 4 with about the pixels of `size`, as a shape is."""
    factor = (math.prod(height_and_width(size)) / (shape[0] * shape[1])) ** 0.5
    factor = max(factor, 32 / min(shape[:2]))  # smaller sides fit no system
    for multiple in (16, 8, 4):
        rows, columns = (round(side * factor / multiple) * multiple for side in shape[:2])
        if distortion(shape, (rows, columns)) < 1.05:
            break
    return rows, columns
