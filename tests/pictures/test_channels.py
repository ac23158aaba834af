"""Pictures of one, two and four channels: turned into others, read, shown and written."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tiff_files import DEFLATE, PLAIN, file_of

from tfi2i.errors import InputError
from tfi2i.networks import ends
from tfi2i.pictures.bands import read_bands
from tfi2i.pictures.channels import CHANNELS, in_channels, shown
from tfi2i.pictures.files import read_picture, write_picture
from tfi2i.pictures.folders import translate_files
from tfi2i.pictures.pixels import to_image, to_pixels


def some(channels, height=9, width=7):
    return np.random.default_rng(channels).integers(0, 256, (height, width, channels), np.uint8)


def two_bands(bands, *, packed=False, **ways):
    """A TIFF file of whole numbers (H, W, C) in strips, whose bands no tag calls alpha."""
    return file_of(bands, packing=DEFLATE if packed else PLAIN, **ways)


def test_colour_becomes_pillows_grey_and_grey_stays_what_it_is():
    colour = some(3)
    expected = np.asarray(Image.fromarray(colour).convert("L"))
    np.testing.assert_array_equal(in_channels(colour, 1)[..., 0], expected)
    grey = some(1)
    np.testing.assert_array_equal(in_channels(in_channels(grey, 3), 1), grey)
    assert in_channels(colour, 3) is colour
    wide = np.full((2, 2, 3), 65535, np.uint16)
    assert in_channels(wide, 1).tolist() == np.full((2, 2, 1), 65535).tolist()


def test_alpha_is_the_files_or_opaque():
    alpha = some(1)[..., 0]
    assert (in_channels(some(3), 4)[..., 3] == 255).all()
    np.testing.assert_array_equal(in_channels(some(3), 4, alpha)[..., 3], alpha)
    np.testing.assert_array_equal(in_channels(some(2), 4)[..., 3], some(2)[..., 1])
    np.testing.assert_array_equal(in_channels(some(4), 3), some(4)[..., :3])


@pytest.mark.parametrize("have", CHANNELS)
@pytest.mark.parametrize("wanted", CHANNELS)
def test_networks_turn_images_as_pixels_are_turned(have, wanted):
    pixels = some(have)[None]
    image = ends.in_channels(tf.constant(to_image(pixels)), wanted)
    difference = to_pixels(image.numpy()).astype(int) - in_channels(pixels, wanted)
    assert np.abs(difference).max() <= 1


def test_what_is_shown_is_rgb():
    assert shown(some(3)) is not None and shown(some(3)).shape == (9, 7, 3)
    np.testing.assert_array_equal(shown(some(1)), np.repeat(some(1), 3, -1))
    np.testing.assert_array_equal(shown(some(2))[..., 2], some(2)[..., 1])
    clear = np.dstack([some(3), np.zeros((9, 7, 1), np.uint8)])
    assert (shown(clear) == 255).all()
    clear[..., 3] = 255
    np.testing.assert_array_equal(shown(clear), some(3))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_bands_of_a_tiff_are_read_where_so_many_are_asked_for(tmp_path, packed, planar, order):
    path = tmp_path / "bands.tif"
    path.write_bytes(two_bands(some(2), packed=packed, planar=planar, order=order))
    np.testing.assert_array_equal(read_bands(path, 2), some(2))
    assert read_bands(path, 3) is read_bands(path, 4) is read_bands(path, 1) is None
    wide = some(4).astype(np.uint16) * 257
    content = two_bands(wide, packed=packed, planar=planar, order=order)
    np.testing.assert_array_equal(read_bands(content, 4), some(4))


def test_other_files_have_no_bands_and_damaged_ones_are_named(tmp_path):
    for mode, name in (("LA", "a.tif"), ("RGBA", "b.tif"), ("L", "c.png")):
        Image.new(mode, (8, 8)).save(tmp_path / name)
        assert read_bands(tmp_path / name, 2) is read_bands(tmp_path / name, 4) is None
    assert read_bands(tmp_path / "missing.tif", 2) is None
    content = two_bands(some(2), packed=True)
    (tmp_path / "cut.tif").write_bytes(content[:30] + bytes(40) + content[70:])
    with pytest.raises(InputError, match="cut.tif is a damaged TIFF file of 2 bands"):
        read_bands(tmp_path / "cut.tif", 2)
    for cut in range(8, len(content), 7):
        try:
            read_bands(content[:cut], 2)
        except InputError as error:
            assert str(error).count("\n") == 0


class Turned:
    """A translator of some channels to others."""

    def __init__(self, taken, made):
        self.channels = (taken, made)

    def __call__(self, pixels):
        assert pixels.shape[-1] == self.channels[0]
        return in_channels(pixels, self.channels[1])


@pytest.mark.parametrize(
    ("taken", "made", "suffix", "mode"),
    [
        *((1, 1, ".png", "L"), (1, 3, ".png", "RGB"), (3, 1, ".jpg", "L"), (3, 1, ".tif", "L")),
        *((3, 4, ".png", "RGBA"), (4, 2, ".png", "LA"), (3, 1, ".webp", "RGB")),
    ],
)
def test_files_are_written_in_the_channels_of_the_target(tmp_path, taken, made, suffix, mode):
    source = tmp_path / f"in{suffix}"
    Image.fromarray(some(3)).save(source)
    translate_files(Turned(taken, made), [source], tmp_path / "out")
    with Image.open(tmp_path / "out" / f"in{suffix}") as image:
        assert (image.mode, image.size) == (mode, (7, 9))


def test_two_bands_go_in_as_they_are_and_transparent_results_become_png(tmp_path):
    source = tmp_path / "bands.tif"
    source.write_bytes(two_bands(some(2)))
    translate_files(Turned(2, 2), [source], tmp_path / "out")
    with Image.open(tmp_path / "out" / "bands.tif") as image:
        np.testing.assert_array_equal(np.asarray(image), some(2))
    photo = tmp_path / "photo.jpg"
    Image.fromarray(some(3)).save(photo)
    clear = lambda pixels: np.dstack([pixels, pixels[..., :1] // 2])  # noqa: E731
    (written,) = translate_files(clear, [photo], tmp_path / "out").written
    assert written.name == "photo.png" and read_picture(written).alpha.max() < 255


def test_pixels_of_two_channels_are_not_written_without_their_alpha(tmp_path):
    with pytest.raises(InputError, match=r"\(H, W, 3\) or \(H, W, 1\)"):
        write_picture(tmp_path / "x.png", some(2))
