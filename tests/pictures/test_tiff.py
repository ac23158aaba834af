"""TIFF files that Pillow does not read: their packings, their numbers, and damaged ones."""

import io
import struct
import time

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin
from tiff_files import DEFLATE, LZW, MINIMAL, PLAIN, RGB, by_libtiff, file_of

from tfi2i.data import folders
from tfi2i.data.domains import PictureDomain
from tfi2i.errors import InputError
from tfi2i.pictures import lzw, tiff
from tfi2i.pictures.bands import band_values, read_bands
from tfi2i.pictures.depth import OutOfRange
from tfi2i.pictures.files import read_header, read_picture, read_values


def some(kind, channels, height=9, width=7):
    drawn = np.random.default_rng(channels).random((height, width, channels))
    return (drawn if kind[0] == "f" else drawn * 100).astype(kind)


def numbers(data):
    file = io.BytesIO(data)
    return tiff.numbers(file, tiff.tags_of(file))


@pytest.mark.parametrize("packing", [PLAIN, LZW, DEFLATE])
@pytest.mark.parametrize("tile", [None, (16, 32)])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_no_number_is_lost_in_any_packing(packing, tile, planar, order):
    ways = {"packing": packing, "tile": tile, "planar": planar, "order": order}
    for kind in ("u1", "u2", "u4", "i2", "f2", "f4", "f8"):
        array = some(kind, 4, 21, 37)
        wanted = array.astype(np.float32) if kind[0] == "f" else array
        for predictor in (1, 3 if kind[0] == "f" else 2):
            found = numbers(file_of(array, predictor=predictor, **ways))
            assert found.dtype == wanted.dtype
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("packing", ["tiff_lzw", "tiff_adobe_deflate"])
def test_what_libtiff_writes_is_read_as_pillow_reads_it(packing):
    drawn = np.random.default_rng(0)
    colour = Image.fromarray(drawn.integers(0, 40, (90, 200, 3), np.uint8))
    floats = Image.fromarray(drawn.random((90, 200), np.float32))
    for image, predictor in ((colour, 1), (colour, 2), (floats, 3)):
        file = io.BytesIO()
        image.save(file, "TIFF", compression=packing, tiffinfo={317: predictor})
        assert tiff.tags_of(file)[317] == (predictor,)
        np.testing.assert_array_equal(numbers(file.getvalue()).squeeze(), np.asarray(image))


@pytest.mark.parametrize("values", [2, 256])
@pytest.mark.parametrize("size", [1, 2, 300, 5_000, 50_000])
def test_lzw_is_unpacked_as_libtiff_packed_it(values, size):
    data = np.random.default_rng(size).integers(0, values, size, np.uint8).tobytes()
    packed = by_libtiff(data)
    assert lzw.unpacked(packed, size) == data
    assert lzw.unpacked(packed, size // 2) == data[: size // 2]
    assert (
        lzw.unpacked(packed[: len(packed) // 2], size)
        == data[: len(lzw.unpacked(packed[: len(packed) // 2], size))]
    )


def test_lzw_that_does_nothing_but_begin_anew_is_damaged_soon():
    for codes in ("1" + "0" * 8, "1" + "0" * 8 + ("0" * 8 + "1") * 2):
        data = int(codes * 400_000, 2).to_bytes(len(codes) * 50_000, "big")
        start = time.process_time()
        with pytest.raises(ValueError, match="begins anew too often"):
            lzw.unpacked(data, 2**29)
        assert time.process_time() - start < 1


@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
@pytest.mark.parametrize("planar", [False, True])
def test_floating_point_colours_are_read_in_one_or_255_or_a_range(kind, planar):
    share = some(kind, 3)
    shown = np.rint(share.astype(np.float32) * 255)
    for seen in (MINIMAL, RGB):
        data = file_of(share, packing=LZW, planar=planar, seen=seen)
        picture = read_picture(data)
        assert (picture.format, picture.mode, picture.deep) == ("TIFF", f"RGB;{kind}", True)
        np.testing.assert_array_equal(picture.pixels, shown)
        assert read_header(data) == (True, 1) and read_values(data).full == (0, 1)
    (pixels,) = {
        read_picture(data, value_range=(0.25, 0.5)).pixels.tobytes()
        for data in (file_of(share), file_of(share, packing=DEFLATE, predictor=3))
    }
    wanted = np.clip((share.astype(np.float32).astype(float) - 0.25) * 4, 0, 1) * 65535
    assert pixels == np.rint(wanted).astype(np.uint16).tobytes()
    hundreds = file_of(share * np.asarray(200, kind), planar=planar)
    assert read_values(hundreds).full == (0, 255)


@pytest.mark.parametrize(
    ("value", "message"),
    [(-0.5, "values from -0.5 .*train with data.value_range"), (np.nan, "NaN")],
)
def test_floats_without_meaning_are_refused_as_colours_and_as_bands(tmp_path, value, message):
    for channels in (3, 4):
        array = some("f4", channels)
        array[1, 1, 1] = value
        path = tmp_path / f"{channels}.tif"
        path.write_bytes(file_of(array))
        with pytest.raises(InputError, match=rf"{channels}\.tif holds .*{message}") as caught:
            read_picture(path) if channels == 3 else read_bands(path, 4)
        assert isinstance(caught.value, OutOfRange) == (value < 0)


def test_a_domain_of_floating_point_bands_finds_its_range(tmp_path):
    array = some("f4", 2) * 8 - 4
    (tmp_path / "a.tif").write_bytes(file_of(array))
    domain = PictureDomain(["a"], [tmp_path / "a.tif"], "x")
    assert domain.opens(0) and domain.values(0).found == (array.min(), array.max())
    domain.value_range = (-4, 4)
    np.testing.assert_array_equal(
        domain.read_in(0, None, 2), read_bands(tmp_path / "a.tif", 2, (-4, 4))
    )


@pytest.mark.parametrize(("kind", "most"), [("u2", 4000), ("f4", 2)])
def test_bands_that_would_be_dark_or_are_no_colours_are_said(tmp_path, kind, most):
    for folder in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / folder).mkdir()
        for i in range(2):
            bands = (some("f4", 4) * most).astype(kind)
            (tmp_path / folder / f"{i}.tif").write_bytes(file_of(bands))
    data = folders(tmp_path).in_channels(4)
    if kind == "u2":
        faults = data.remarks().faults
        assert len(faults) == 2 and "too dark; set data.value_range to auto or to [" in faults[0]
        return
    array = some("f4", 4) - 2
    for i in range(2):
        (tmp_path / "trainA" / f"{i}.tif").write_bytes(file_of(array))
    with pytest.raises(OutOfRange, match="trainA holds values from -1.9.*set data.value_range"):
        data.remarks()
    settled = folders(tmp_path, value_range="auto").in_channels(4)
    assert not settled.remarks().faults


def test_alpha_of_wide_colours_is_eight_bits_and_taken_out_of_the_colours():
    array = some("f4", 4) * 0.5
    array[..., 3] += 0.25
    straight = read_picture(file_of(array, seen=RGB, more=[(338, [2])]))
    np.testing.assert_array_equal(straight.alpha, np.rint(array[..., 3] * 255))
    np.testing.assert_array_equal(straight.pixels, np.rint(array[..., :3] * 255))
    times = np.dstack([array[..., :3] * array[..., 3:], array[..., 3:]])
    mixed = read_picture(file_of(times, seen=RGB, more=[(338, [1])]))
    assert np.abs(mixed.pixels.astype(int) - straight.pixels).max() <= 1
    grey = some("u2", 2)
    found = read_values(file_of(grey, more=[(338, [2])]))
    np.testing.assert_array_equal(found.array, grey[..., 0])
    assert read_bands(file_of(grey, more=[(338, [2])]), 2) is None


def test_sixteen_bit_colours_in_planes_are_what_they_are_side_by_side():
    """Pillow takes two halves of a number for two numbers there."""
    array = some("u2", 3) * np.uint16(500)
    for planar in (False, True):
        data = file_of(array, planar=planar, seen=RGB)
        np.testing.assert_array_equal(read_picture(data, value_range=(0, 65535)).pixels, array)


@pytest.mark.parametrize("turn", range(1, 9))
def test_wide_colours_come_out_upright(turn):
    array = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(array).save(file, "TIFF", tiffinfo={274: turn})
    wide = file_of(array / np.float32(255), seen=RGB, more=[(274, [turn])])
    np.testing.assert_array_equal(read_picture(wide).pixels, read_picture(file.getvalue()).pixels)


@pytest.mark.parametrize(
    ("tag", "value", "message"),
    [
        (259, 7, "4 bands compressed otherwise than by LZW or deflate"),
        (258, 12, "4 bands of 12 bits"),
        (256, 40_000_000, "4 bands of 40,000,000 x 9; scale it down first"),
        (256, 0, "damaged TIFF file of 4 bands"),
        (279, 1_000_000, "its parts are longer than the file"),
    ],
)
def test_what_is_not_read_is_told_in_a_sentence(tag, value, message):
    data = file_of(some("u2", 4))
    at = struct.unpack("<I", data[4:8])[0]
    (place,) = (
        i for i in range(at + 2, len(data), 12) if data[i : i + 2] == struct.pack("<H", tag)
    )
    # One value for all, where there are several.
    changed = data[: place + 4] + struct.pack("<II", 1, value) + data[place + 12 :]
    with pytest.raises(InputError, match=message):
        read_bands(changed, 4)


@pytest.mark.parametrize("seed", range(60))
def test_damaged_files_are_refused_in_a_sentence_and_soon(seed):
    drawn = np.random.default_rng(seed)
    array = some(("u2", "f4")[seed % 2], 4 - seed % 2)
    ways = {"packing": (PLAIN, LZW, DEFLATE)[seed % 3], "tile": (None, (16, 16))[seed // 3 % 2]}
    data = bytearray(file_of(array, **ways))
    for place in drawn.integers(0, len(data), 3):
        data[place] = drawn.integers(0, 256)
    if seed % 5 == 0:
        del data[drawn.integers(8, len(data)) :]
    start = time.process_time()
    for read in (read_picture, read_values, read_header, band_values):
        try:
            read(bytes(data))
        except InputError as error:
            assert "\n" not in str(error) and str(error)[-1] == "."
    assert time.process_time() - start < 1


def test_wide_colours_obey_the_limits_of_all_pictures():
    at = 8 + 7 * 9 * 3 * 2  # of the tags
    for side, message in (
        (65535, "more than 178 million pixels"),
        (12000, "claims 12,000 x 12,000"),
    ):
        data = bytearray(file_of(some("f2", 3)))
        for i in range(2):
            data[at + 2 + 12 * i + 8 : at + 2 + 12 * i + 12] = struct.pack("<I", side)
        with pytest.raises(InputError, match=message):
            read_picture(bytes(data))


def test_pillows_own_files_are_left_to_pillow():
    for mode in ("L", "RGB", "RGBA", "F", "I;16", "CMYK", "LA", "P", "1"):
        file = io.BytesIO()
        Image.new(mode, (8, 8)).save(file, "TIFF")
        assert (
            not read_picture(file.getvalue()).mode.count(";u")
            and band_values(file.getvalue()) is None
        )
    assert TiffImagePlugin.STRIP_SIZE >= 50_000  # of which `by_libtiff` makes one strip
