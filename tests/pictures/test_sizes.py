"""Sizes of pictures: squares, rectangles, and what squashing does to proportions."""

import pytest

from tfi2i.errors import InputError
from tfi2i.pictures.sizes import height_and_width, simplest, size_text, sizes_of, squash_note


def test_a_size_is_a_side_or_height_and_width():
    assert height_and_width(64) == height_and_width([64, 64]) == (64, 64)
    assert (simplest((64, 64)), simplest([32, 96])) == (64, (32, 96))
    assert [size_text(size) for size in (64, (64, 64), (32, 96))] == ["64", "64", "32x96"]


def test_options_name_the_height_first():
    assert sizes_of("--sizes", "256, 192x256") == ((256, 256), (192, 256))
    for text in ("big", "256x", "256x192x3", "0", "", "-4"):
        with pytest.raises(InputError, match="HEIGHTxWIDTH"):
            sizes_of("--sizes", text)


def test_a_sentence_says_where_squashing_distorts():
    shapes = [(100, 100), (96, 320), (96, 320)]
    note = squash_note(shapes, 64, "train a")
    assert note.startswith("train a: ") and "96 x 320" in note and "3.33" in note
    assert "model.image_size=[36, 116]" in note and "translate does not make" in note
    assert squash_note(shapes, (96, 320), "train a") is None
    assert squash_note([(100, 109)], 64, "a") is None  # less than a tenth
    assert squash_note([(100, 112)], 64, "a") is not None
    assert squash_note([], 64, "a") is None
