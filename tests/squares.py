"""A backbone that costs nothing, for tests of what is done with features."""

from dataclasses import dataclass

import numpy as np

from tfi2i.evaluate import backbones


@dataclass
class Squares:
    """A backbone whose features are the mean colours of 4 x 4 squares: quick and telling."""

    name: str = "squares"
    dimensions: int = 48
    side: int = 4
    resizing: str = "mean"

    def features(self, pixels):
        count, side = len(pixels), pixels.shape[1]
        blocks = pixels.reshape(count, 4, side // 4, 4, side // 4, 3).mean((2, 4))
        return (blocks.reshape(count, -1) / 255).astype(np.float32)


def use_squares(patch):
    """Makes this the backbone of whatever is trained or evaluated."""
    patch.setattr(backbones, "load", lambda *args, **settings: Squares())
