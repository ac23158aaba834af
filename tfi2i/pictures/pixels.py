"""Pixels are uint8 0..255, an image is float32 [-1, 1]: the only place that knows 127.5.

Levels are pixels that are not rounded: floats in 0..255. Where a domain has a range of values, its
pixels are uint16 0..65535, so that no depth is lost.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfi2i.errors import InputError
from tfi2i.pictures.channels import CHANNELS

Pixels = NDArray[np.uint8]


def are_pixels(pixels: NDArray[Any], axes: int, channels: int | None = 3) -> bool:
    """Whether this is uint8 with so many axes, the last for channels, and not empty; None: 1..4."""
    fitting = pixels.dtype == np.uint8 and pixels.ndim == axes and pixels.size > 0
    return fitting and (
        pixels.shape[-1] in CHANNELS if channels is None else pixels.shape[-1] == channels
    )


def require_pixels(name: str, pixels: Pixels, channels: int | None = 3) -> None:
    """Raises `InputError` unless these are uint8 pictures (N, H, W, C), one or more."""
    if not are_pixels(pixels, 4, channels):
        raise InputError(
            f"{name} is {pixels.dtype} {pixels.shape}; give uint8 pictures (N, H, W, "
            f"{channels or '1 to 4'})."
        )


def from_levels(levels: Any) -> Any:
    """Levels to an image; arrays and tensors of any kind that computes with floats."""
    return levels / 127.5 - 1


def to_levels(image: Any) -> Any:
    """An image to levels; arrays and tensors of any kind that computes with floats."""
    return (image + 1) * 127.5


def to_image(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.float32]:
    """Pixels of any shape, uint8 0..255 or uint16 0..65535, to an image, float32 in [-1, 1]."""
    levels = np.asarray(pixels, np.float32)
    return from_levels(levels / np.float32(257) if pixels.dtype == np.uint16 else levels)


def eight_bit(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Pixels of any shape as uint8 0..255."""
    if pixels.dtype != np.uint16:
        return pixels
    return np.rint(pixels / 257).astype(np.uint8)


def sixteen_bit(pixels: NDArray[Any]) -> NDArray[np.uint16]:
    """Pixels of any shape as uint16 0..65535."""
    return pixels if pixels.dtype == np.uint16 else pixels.astype(np.uint16) * np.uint16(257)


def to_pixels(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """An image of any shape in [-1, 1] to pixels, uint8 0..255, rounded and saturated."""
    levels = to_levels(np.asarray(image, np.float32))
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def to_deep_pixels(image: NDArray[np.floating]) -> NDArray[np.uint16]:
    """An image of any shape in [-1, 1] to pixels, uint16 0..65535, rounded and saturated."""
    levels = to_levels(np.asarray(image, np.float32)) * np.float32(257)
    return np.clip(np.rint(levels), 0, 65535).astype(np.uint16)


def in_order(network: Any) -> Callable[..., Any]:
    """A `keras.Model` as a function of its inputs in their order, as `run_over` takes it."""
    alone = len(network.inputs) == 1
    return lambda *inputs, **how: network(inputs[0] if alone else list(inputs), **how)


def run_over(
    function: Callable[..., Any],
    pixels: NDArray[np.uint8] | None,
    batch: int = 8,
    values: Mapping[str, NDArray[np.float32]] | None = None,
) -> NDArray[np.uint8]:
    """Runs pixels (N, S, S, 3) and conditions through a network, a few at a time -> (N, S, S, 3).

    Args:
        function: Network of an image and of conditions in their order -> image.
        pixels: Pictures; None for a network that takes none.
        batch: Number of pictures at a time.
        values: Conditions (N, ...) by name, in the order of the network's inputs.
    """
    inputs = [] if pixels is None else [to_image(pixels)]
    inputs += (values or {}).values()
    answers = [
        to_pixels(np.asarray(function(*(one[i : i + batch] for one in inputs))))
        for i in range(0, len(inputs[0]), batch)
    ]
    return np.concatenate(answers)
