"""Pictures and values that an export calibrates and judges an artefact by."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfi2i.conditions import ANY, Direction
from tfi2i.data.dataset import Dataset
from tfi2i.pictures.pixels import to_image
from tfi2i.pictures.sizes import AnySize
from tfi2i_export.choice import Choice
from tfi2i_export.inputs import Array, Shape, drawn

Pixels = NDArray[np.uint8]
Shown = tuple[Pixels | None, dict[str, Array]]
"""Pictures, None for a sampler, and values of the inputs besides them by name."""


class Pictures:
    """Pictures of the source domain: held-out ones to judge by, training ones to calibrate by.

    With each come values of the inputs besides the picture that are not baked, by name: sampled
    ones, and where an input is a picture, one of the target domain.

    Args:
        data: Dataset with a training and a test split.
        system: System whose network is exported.
        way: Direction of the network.
        choice: Numbers of pictures, and the seed.
        aspect: Way in which pictures become those of a size.
        shapes: Shapes (1, ...) of the open inputs by name.
    """

    def __init__(
        self,
        data: Dataset,
        system: Any,
        way: Direction,
        choice: Choice,
        aspect: str,
        shapes: Mapping[str, Shape],
    ):
        self._data = data
        self._system = system
        self._way = way
        self._choice = choice
        self._aspect = aspect
        self._shapes = shapes

    def held_out(self, size: AnySize) -> Shown:
        """Pictures (N, H, W, 3) of the test split, and values (N, ...)."""
        return self._shown("test", size, self._choice.images, self._choice.seed)

    def calibration(self, size: AnySize) -> Shown:
        """Pictures (N, H, W, 3) of the training split, and other values (N, ...)."""
        return self._shown("train", size, self._choice.calibration, self._choice.seed + 1)

    def references(self, split: str, size: AnySize, limit: int) -> Pixels:
        """Pictures (N, H, W, 3) of the target domain, as users give them for an input."""
        return self._read(split, self._way.target or ANY, size, limit)

    def _shown(self, split: str, size: AnySize, limit: int, seed: int) -> Shown:
        pixels = None
        if self._way.source is not None:
            pixels = self._read(split, self._way.source, size, limit)
        count = limit if pixels is None else len(pixels)
        given = {}
        for one in self._system.conditions:
            if one.name in self._shapes and one.kind == "picture" and one.draw is None:
                found = to_image(self.references(split, one.shape[:2], count))
                given[one.name] = found[np.arange(count) % len(found)]
        return pixels, drawn(self._system, self._way.name, self._shapes, count, seed, given)

    def _read(self, split: str, domain: str, size: AnySize, limit: int) -> Pixels:
        pixels, _ = self._data.pixels(
            split, domain, size, aspect=self._aspect, limit=limit, seed=self._choice.seed
        )
        return pixels
