"""Pictures of how a translation looks: grids of images, with attention maps."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tfi2i.pictures.channels import shown
from tfi2i.pictures.pixels import Pixels
from tfi2i.pictures.sizes import AnySize, height_and_width

BACKGROUND = (255, 255, 255)
INK = (40, 40, 40)
GAP = 4
LABEL_WIDTH = 96  # at least


def heat(attention: NDArray[np.floating], size: AnySize) -> Pixels:
    """Attention maps (N, h, w) in colour, blue to red: (N, H, W, 3); each has its own scale.

    Source: the official NICE-GAN's heat map, minimum subtracted and divided by the maximum.
    """
    height, width = height_and_width(size)
    values = np.asarray(attention, np.float64)
    values = values - values.min((1, 2), keepdims=True)
    values /= np.maximum(values.max((1, 2), keepdims=True), 1e-12)
    rows = []
    for one in values:
        gray = Image.fromarray(np.rint(one * 255).astype(np.uint8))
        scaled = gray.resize((width, height), Image.Resampling.BILINEAR)
        rows.append(np.asarray(scaled, np.float64) / 255)
    level = np.stack(rows)[..., None]
    # The "jet" colours: three triangles over blue, green and red.
    colours = 1.5 - np.abs(4 * level - np.array([3.0, 2.0, 1.0]))
    return np.rint(np.clip(colours, 0, 1) * 255).astype(np.uint8)


def grid(rows: Sequence[tuple[str, Pixels]], scale: int = 1) -> Pixels:
    """Rows of (label, pixels (N, H, W, C)) below each other, one column an image.

    Args:
        rows: Pictures of the same N and size by label; an empty label leaves no room for one.
        scale: Whole number by which images are enlarged, pixels kept sharp.
    """
    count = rows[0][1].shape[0]
    height, width = (side * scale for side in rows[0][1].shape[1:3])
    down, across = height + GAP, width + GAP
    font = ImageFont.load_default(13)
    labels = max(LABEL_WIDTH, *(round(font.getlength(label)) + 16 for label, _ in rows))
    size = (labels + count * across + GAP, len(rows) * down + GAP)
    sheet = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for i, (label, images) in enumerate(rows):
        top = GAP + i * down
        draw.text((8, top + height // 2), label, INK, font, anchor="lm")
        for j, pixels in enumerate(shown(images)):
            image = Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)
            sheet.paste(image, (labels + GAP + j * across, top))
    return np.asarray(sheet)


def scale_for(size: AnySize, wanted: int = 128) -> int:
    """The enlargement that makes the longer sides of images about `wanted` pixels, at least 1."""
    return max(1, round(wanted / max(height_and_width(size))))
