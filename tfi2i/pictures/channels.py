"""Channels of pictures: 1 grey, 2 two bands (grey and alpha), 3 RGB, 4 RGB and alpha.

From other channels grey becomes RGB by repetition, RGB becomes grey by Rec. 601's luminance, and
alpha that is not there is opaque. Letters: H W space, C channels.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

CHANNELS = (1, 2, 3, 4)
COLOURS = {1: "GRAYSCALE", 2: "GRAYSCALE_ALPHA", 3: "RGB", 4: "RGBA"}
"""Names of what the channels are, in a sidecar."""
WEIGHTS = (19595, 38470, 7471)
"""Rec. 601's luminance in units of 2^-16, as in Pillow; the sum is 2^16."""


def in_channels(
    pixels: NDArray[Any], channels: int, alpha: NDArray[np.uint8] | None = None
) -> NDArray[Any]:
    """Pixels (..., H, W, C) of whole numbers in other channels; the same array if they are those.

    Args:
        pixels: Pixels, uint8 or uint16.
        channels: Wanted number of channels.
        alpha: (H, W) alpha of pixels without one, where it is known.
    """
    have = pixels.shape[-1]
    if have == channels:
        return pixels
    full = np.iinfo(pixels.dtype).max
    colour = pixels[..., :-1] if have in (2, 4) else pixels
    if channels in (1, 2):
        colour = grey(colour)
    elif colour.shape[-1] == 1:
        colour = np.repeat(colour, 3, axis=-1)
    if channels in (1, 3):
        return colour
    if have in (2, 4):
        last = pixels[..., -1:]
    elif alpha is None:
        last = np.full((*pixels.shape[:-1], 1), full, pixels.dtype)
    else:
        last = (alpha.astype(pixels.dtype) * pixels.dtype.type(full // 255))[..., None]
    return np.concatenate([colour, last], axis=-1)


def grey(pixels: NDArray[Any]) -> NDArray[Any]:
    """The luminance (..., 1) of pixels (..., 3) of whole numbers; what is grey stays as it is."""
    if pixels.shape[-1] == 1:
        return pixels
    wide = pixels.astype(np.uint32)
    total = sum(wide[..., i] * np.uint32(weight) for i, weight in enumerate(WEIGHTS))
    return ((total + np.uint32(0x8000)) >> np.uint32(16)).astype(pixels.dtype)[..., None]


def shown(pixels: NDArray[Any]) -> NDArray[Any]:
    """Pixels (..., C) as RGB to look at and to compare; the same array if they are RGB.

    Grey is repeated, two bands become false colours (the first red, the second green and blue), and
    what is transparent lies on white.
    """
    channels = pixels.shape[-1]
    if channels == 3:
        return pixels
    if channels == 1:
        return np.repeat(pixels, 3, axis=-1)
    if channels == 2:
        return pixels[..., [0, 1, 1]]
    full = np.iinfo(pixels.dtype).max
    opacity = pixels[..., 3:].astype(np.float32) / full
    on_white = pixels[..., :3] * opacity + full * (1 - opacity)
    return np.rint(on_white).astype(pixels.dtype)
