"""Masks that are painted."""

import io

import numpy as np
from PIL import Image

from tfi2i.data.domains import PictureDomain
from tfi2i.data.masks import Painted, colours_of

COLOURS = [f"#{number:02x}0000" for number in range(12)]


def painted(colours):
    file = io.BytesIO()
    Image.fromarray(np.arange(12, dtype=np.uint8)[None]).save(file, "PNG")
    masks = PictureDomain(["one.png"], [file.getvalue()], "masks", (), 100)
    return Painted(masks, colours_of(colours))


def test_every_number_has_its_colour():
    pixels = painted(COLOURS).read(0)
    np.testing.assert_array_equal(pixels[0, :, 0], np.arange(12))
    assert not pixels[..., 1:].any()


def test_another_colour_anywhere_is_other_data():
    assert painted(COLOURS).digest() == painted(COLOURS).digest()
    assert painted([*COLOURS[:-1], "#ffffff"]).digest() != painted(COLOURS).digest()
