"""Encoders of reference pictures: pixels (H, W, 3) of any size -> the value of an input."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tfi2i.data.resize import scaled_to_square
from tfi2i.pictures.pixels import to_image
from tfi2i.pictures.tiles import Pixels
from tfi2i_export.inputs import Array

Reader = Callable[[Pixels, str | None], Array]
"""Pixels (H, W, 3) and the domain of the pictures that are to come out -> a value (...)."""


def reader_of(encode: Callable[[str | None], Any], side: int, aspect: str) -> Reader:
    """Returns the reader of a condition of a system.

    Args:
        encode: Maker of the encoder for a domain, a `keras.Model`.
        side: Side of the pictures where the encoder takes any.
        aspect: Way in which pictures become squares, as in training.
    """

    def read(pixels: Pixels, target: str | None) -> Array:
        encoder = encode(target)
        square = scaled_to_square(pixels, encoder.inputs[0].shape[1] or side, aspect)
        return np.asarray(encoder(to_image(square)[None], training=False))[0]

    return read
