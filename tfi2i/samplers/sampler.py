"""The contract of systems that make pictures from noise and labels alone."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfi2i.conditions import SAMPLE
from tfi2i.data.batches import Batch
from tfi2i.models.model import GenerativeModel
from tfi2i.pictures.pixels import run_over


class Sampler(GenerativeModel):
    """A system with one direction, which has no source; its conditions are what goes in."""

    batch = Batch("single")
    directions = (SAMPLE,)

    def sample(
        self,
        count: int,
        *,
        seed: int = 0,
        labels: str | None = None,
        given: Mapping[str, ArrayLike] | None = None,
    ) -> NDArray[np.uint8]:
        """Makes pictures (count, S, S, 3), uint8 0..255; the same seed makes the same ones.

        Args:
            count: Number of pictures, at least 1.
            seed: Seed of the conditions that are not given.
            labels: Labels by name, such as "winter" or "black_hair,young", for all pictures.
            given: Values of conditions by name, one for all pictures or one for each.

        Raises:
            ValueError: No such label, or values that do not fit.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, received count={count}.")
        values = self.values_of(None, count, seed, labels=labels, given=given)
        return run_over(self.predictor(), None, values=values)
