"""Masks as colour pictures: each number that a picture of one channel holds has its colour."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfi2i.data.domains import PictureDomain
from tfi2i.errors import InputError
from tfi2i.pictures.files import Header, Picture
from tfi2i.terminal import brief, printable

MOST_COLOURS = 65_536


class Painted(PictureDomain):
    """A domain of masks, painted.

    Args:
        masks: Domain of pictures of one channel.
        colours: Colours (K, 3) uint8 of the numbers 0 to K - 1.
    """

    def __init__(self, masks: PictureDomain, colours: NDArray[np.uint8]) -> None:
        others = masks.passed_over
        super().__init__(masks.names, masks.pictures, masks.where, others, masks.megapixels)
        self._masks, self._colours = masks, colours

    def picture(self, index: int) -> Picture:
        """As `Domain.picture`."""
        numbers = self.values(index).array
        numbers = numbers if numbers.ndim == 2 else numbers[..., 0]
        found, most = numbers.max(), len(self._colours) - 1
        if found > most or (numbers % 1).any():
            raise InputError(
                f"{printable(self.where)} {printable(self.names[index])} holds the number "
                f"{found:g}, but the palette has colours for 0 to {most}; give as many colours as "
                "there are numbers."
            )
        return Picture(self._colours[numbers.astype(np.intp)], None, "L", "PNG")

    def header(self, index: int, channels: int = 3) -> Header | None:
        """As `PictureDomain.header`; what is painted has 8 bits."""
        return Header(False, 1)

    def _like(self, indices: Sequence[int]) -> "Painted":
        return Painted(self._masks.part(indices), self._colours)

    def digest(self) -> str:
        """SHA-256 of the masks, after the colours."""
        return f"{hashlib.sha256(self._colours.tobytes()).hexdigest()}-{super().digest()}"


def colours_of(palette: Sequence[Any]) -> NDArray[np.uint8]:
    """The colours (K, 3) uint8 of texts such as "#e83c30".

    Raises:
        InputError: There is none, or a text is no colour.
    """
    if not 0 < len(palette) <= MOST_COLOURS:
        raise InputError(
            f"palette has {len(palette)} colours; give one for each number that the masks hold, "
            "from 0 on."
        )
    for one in palette:
        if not isinstance(one, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", one):
            raise InputError(
                f"palette holds {brief(repr(one))}, which is no colour; write it as '#rrggbb', "
                "such as '#e83c30'."
            )
    return np.array([[*bytes.fromhex(one[1:])] for one in palette], np.uint8)
