"""Reading and writing picture files: every mode Pillow knows, damaged files, hostile files."""

import io
import re
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from tfi2i.errors import InputError
from tfi2i.pictures import formats
from tfi2i.pictures.files import (
    ALPHA_SUFFIXES,
    WRITABLE_SUFFIXES,
    read_header,
    read_picture,
    read_values,
    write_picture,
)
from tfi2i.pictures.formats import PICTURE_SUFFIXES
from tfi2i.pictures.listing import picture_paths


def colours(height: int = 12, width: int = 17, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (height, width, channels), dtype=np.uint8)


def encoded(image: Image.Image, file_format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def png(width, height, depth, colour_type, rows: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    body = b"".join(chunk(kind, data) for kind, data in extra)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + body
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("suffix", sorted(WRITABLE_SUFFIXES))
def test_what_is_written_is_read_again(tmp_path, suffix):
    # Smooth, because JPEG is not meant for noise.
    ramp = np.linspace(0, 255, 20)
    pixels = np.stack(np.broadcast_arrays(ramp, ramp[:, None], 128), axis=-1).astype(np.uint8)
    path = tmp_path / f"a{suffix}"
    write_picture(path, pixels)
    back = read_picture(path)
    difference = np.abs(back.pixels.astype(int) - pixels).max()
    assert difference <= (6 if suffix in {".jpg", ".jpeg", ".jfif"} else 0)
    assert back.alpha is None
    assert suffix in PICTURE_SUFFIXES


@pytest.mark.parametrize("suffix", sorted(ALPHA_SUFFIXES))
def test_transparency_survives_even_where_it_is_total(tmp_path, suffix):
    pixels, alpha = colours(), colours(channels=1)[..., 0]
    alpha[0] = 0
    write_picture(tmp_path / f"a{suffix}", pixels, alpha)
    back = read_picture(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(back.pixels, pixels)
    np.testing.assert_array_equal(back.alpha, alpha)


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".ppm"])
def test_formats_without_transparency_refuse_it_unless_opaque(tmp_path, suffix):
    path, pixels = tmp_path / f"a{suffix}", colours()
    alpha = np.full(pixels.shape[:2], 255, np.uint8)
    write_picture(path, pixels, alpha)
    assert read_picture(path).alpha is None
    alpha[3, 3] = 254
    before = path.read_bytes()
    with pytest.raises(InputError, match=rf"a{suffix}.*transparency.*\.png"):
        write_picture(path, pixels, alpha)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [("RGB", "PNG"), ("RGB", "WEBP"), ("RGB", "BMP"), ("RGB", "TIFF"), ("RGB", "PPM")]
    + [("L", "PNG"), ("L", "PPM"), ("L", "TIFF"), ("1", "PNG"), ("1", "PPM"), ("P", "PNG")]
    + [("P", "GIF"), ("P", "BMP"), ("YCbCr", "TIFF")],
)
def test_opaque_modes_equal_pillows_conversion(mode, file_format):
    image = Image.fromarray(colours()).convert(mode)
    options = {"lossless": True} if file_format == "WEBP" else {}
    if mode == "YCbCr":
        options = {"compression": "tiff_lzw"}  # without, Pillow 12 cannot read what it writes
    picture = read_picture(encoded(image, file_format, **options))
    tolerance = 3 if mode == "YCbCr" else 0
    expected = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(picture.pixels - expected).max() <= tolerance
    assert picture.alpha is None
    assert picture.format == file_format
    assert picture.pixels.flags.writeable


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_alpha_channels_are_split_off(mode, file_format):
    image = Image.fromarray(colours(channels=4), "RGBA").convert(mode)
    picture = read_picture(encoded(image, file_format))
    rgba = np.asarray(image.convert("RGBA"))
    np.testing.assert_array_equal(picture.pixels, rgba[..., :3])
    np.testing.assert_array_equal(picture.alpha, rgba[..., 3])


def test_a_palettes_transparent_colour_becomes_alpha():
    image = Image.new("P", (4, 2), 1)
    image.putpalette([9, 8, 7, 1, 2, 3])
    image.putpixel((0, 0), 0)
    for options in ({"transparency": 0}, {"transparency": b"\x00\xff"}):
        picture = read_picture(encoded(image, "PNG", **options))
        assert picture.alpha is not None
        assert picture.alpha[0, 0] == 0
        assert (np.delete(picture.alpha.ravel(), 0) == 255).all()
        np.testing.assert_array_equal(picture.pixels[0, 0], [9, 8, 7])
        np.testing.assert_array_equal(picture.pixels[1, 3], [1, 2, 3])


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "lime")]
    for file_format, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})):
        data = encoded(
            frames[0], file_format, save_all=True, append_images=frames[1:], duration=50, **options
        )
        np.testing.assert_array_equal(read_picture(data).pixels[2, 2], [255, 0, 0])


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_not_clipped(file_format):
    values = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    picture = read_picture(encoded(Image.fromarray(values), file_format))
    np.testing.assert_array_equal(picture.pixels[..., 1], np.arange(256).reshape(16, 16))
    assert picture.mode == "I;16"


def test_sixteen_bit_files_of_other_kinds():
    values = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    wide = np.arange(256).reshape(16, 16)
    pgm = b"P5 16 16 65535\n" + values.astype(">u2").tobytes()
    np.testing.assert_array_equal(read_picture(pgm).pixels[..., 0], wide)
    tiff = encoded(Image.fromarray(values.astype(np.int32)), "TIFF")
    np.testing.assert_array_equal(read_picture(tiff).pixels[..., 0], wide)
    big_endian = Image.frombytes("I;16B", (16, 16), values.astype(">u2").tobytes())
    np.testing.assert_array_equal(read_picture(encoded(big_endian, "TIFF")).pixels[..., 0], wide)
    rgb = b"".join(b"\0" + np.repeat(row, 3).astype(">u2").tobytes() for row in values)
    np.testing.assert_array_equal(read_picture(png(16, 16, 16, 2, rgb)).pixels[..., 2], wide)


def test_sixteen_bit_grey_with_a_transparent_value():
    rows = b"\0" + struct.pack(">3H", 0, 40000, 65535)
    picture = read_picture(png(3, 1, 16, 0, rows, (b"tRNS", struct.pack(">H", 40000))))
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, [[255, 0, 255]])
    np.testing.assert_array_equal(picture.pixels[0, :, 0], [0, 156, 255])


def test_floating_point_in_one_or_255():
    grey = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    expected = np.arange(256).reshape(16, 16)
    for scale in (1, 255):
        data = encoded(Image.fromarray(grey * np.float32(scale)), "TIFF")
        np.testing.assert_array_equal(read_picture(data).pixels[..., 0], expected)


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "NaN"), (np.inf, "infinite"), (-0.5, "-0.5"), (4000.0, "4000")],
)
def test_floating_point_without_meaning_is_refused(tmp_path, value, message):
    values = np.zeros((4, 4), np.float32)
    values[1, 2] = value
    Image.fromarray(values).save(tmp_path / "odd.tif")
    with pytest.raises(InputError, match=rf"odd\.tif.*{message}"):
        read_picture(tmp_path / "odd.tif")


@pytest.mark.parametrize("value", [-1, 70000])
def test_whole_numbers_beyond_sixteen_bits_are_refused(value):
    data = encoded(Image.fromarray(np.full((3, 3), value, np.int32)), "TIFF")
    with pytest.raises(InputError, match=str(value)):
        read_picture(data, "scan.tif")


def test_cmyk_has_the_right_way_round():
    paper_and_ink = Image.new("CMYK", (16, 8), (0, 0, 0, 0))
    paper_and_ink.paste((0, 255, 255, 0), (8, 0, 16, 8))
    for file_format in ("JPEG", "TIFF"):  # Pillow writes the JPEG inverted with an Adobe marker
        picture = read_picture(encoded(paper_and_ink, file_format))
        assert picture.mode == "CMYK"
        assert picture.pixels[4, 2].min() > 245
        assert picture.pixels[4, 13, 0] > 245
        assert picture.pixels[4, 13, 1:].max() < 10


def test_lab_becomes_srgb():
    lab = Image.new("LAB", (3, 3), (255, 128, 128))  # white
    picture = read_picture(encoded(lab, "TIFF"))
    assert picture.pixels.min() >= 253


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_cameras_rotation_is_applied(orientation, file_format):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :8] = [255, 0, 0]
    upright[:8, 24:] = [0, 0, 255]
    # What a camera stores for each tag, found by undoing the turn that the EXIF standard names.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), file_format, exif=exif)
    pixels = read_picture(data).pixels
    assert pixels.shape == upright.shape
    assert np.abs(pixels[4, 4].astype(int) - [255, 0, 0]).max() < 40
    assert np.abs(pixels[4, 28].astype(int) - [0, 0, 255]).max() < 40


def test_alpha_turns_with_the_picture():
    image = Image.fromarray(colours(4, 6, 4), "RGBA")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = read_picture(encoded(image, "PNG", exif=exif))
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, np.rot90(np.asarray(image)[..., 3], -1))


def swapped_profile() -> bytes:
    """The sRGB profile with the primaries of red and green exchanged."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = data.index(b"rXYZ"), data.index(b"gXYZ")
    data[red : red + 4], data[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(data)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_colour_profile_is_converted(mode):
    image = Image.new("RGB", (4, 4), (255, 0, 0)).convert(mode)
    plain = read_picture(encoded(image, "PNG"))
    picture = read_picture(encoded(image, "PNG", icc_profile=swapped_profile()))
    np.testing.assert_array_equal(plain.pixels[0, 0], [255, 0, 0])
    np.testing.assert_allclose(picture.pixels[0, 0], [0, 255, 0], atol=3)


def test_profiles_that_say_nothing_are_ignored():
    rgb, grey = Image.fromarray(colours()), Image.fromarray(colours()[..., 0])
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for image, profile in ((rgb, b"nonsense"), (rgb, srgb), (grey, srgb), (rgb, srgb[:200])):
        picture = read_picture(encoded(image, "PNG", icc_profile=profile))
        np.testing.assert_array_equal(picture.pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
def test_truncated_files_name_themselves(tmp_path, file_format):
    data = encoded(Image.fromarray(colours(64, 64)), file_format)
    for size in (3, 20, len(data) // 2):
        (tmp_path / "half.png").write_bytes(data[:size])
        with pytest.raises(InputError, match=r"half\.png"):
            read_picture(tmp_path / "half.png")


def test_damaged_bytes_never_raise_anything_else():
    random = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker" * 20
    refused = 0
    for file_format in ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM"):
        good = np.frombuffer(encoded(Image.fromarray(colours(24, 24)), file_format), np.uint8)
        if file_format in {"PNG", "JPEG", "WEBP", "TIFF"}:
            image = Image.fromarray(colours(24, 24))
            good = np.frombuffer(encoded(image, file_format, exif=exif), np.uint8)
        for _ in range(60):
            bad = good.copy()
            where = random.integers(0, min(len(bad), 400), 4)
            bad[where] = random.integers(0, 256, 4)
            try:
                assert read_picture(bad.tobytes()).pixels.dtype == np.uint8
            except InputError:
                refused += 1
    assert refused > 50


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"<svg/>"]
)
def test_what_is_no_picture_is_refused_by_name(tmp_path, data):
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(InputError, match=r"x\.png"):
        read_picture(tmp_path / "x.png")
    with pytest.raises(InputError, match="upload 7"):
        read_picture(data, "upload 7")


def test_paths_that_are_no_files(tmp_path):
    with pytest.raises(InputError, match="no picture .*gone"):
        read_picture(tmp_path / "gone.png")
    with pytest.raises(InputError, match="is a folder"):
        read_picture(tmp_path)
    with pytest.raises(InputError):
        read_picture("a\0b.png")


def test_decompression_bombs_are_refused_and_merely_large_ones_do_not_warn(tmp_path):
    for side in (13_400, 60_000):  # beyond our limit only; beyond Pillow's
        (tmp_path / "bomb.png").write_bytes(png(side, side, 1, 0, b""))
        with pytest.raises(InputError, match=r"bomb\.png.*million pixels"):
            read_picture(tmp_path / "bomb.png")
    # 90 Mpx: Pillow warns from 89.5 on, and warnings are errors here. The file itself is damaged.
    with pytest.raises(InputError, match="damaged"):
        read_picture(png(10_000, 9_000, 1, 0, np.random.default_rng(0).bytes(10_000)))


@pytest.mark.parametrize(("file_format", "side"), [("PNG", 4_100), ("JPEG", 13_000)])
def test_a_size_that_the_bytes_cannot_hold_is_refused_before_decoding(file_format, side):
    data = encoded(Image.new("L", (16, 16)), file_format)
    if file_format == "PNG":
        data = png(side, side, 1, 0, b"")
    else:
        place = data.index(b"\xff\xc0") + 5  # the frame header: height, width
        data = data[:place] + struct.pack(">HH", side, side) + data[place + 4 :]
    claim = f"claims {side:,} x {side:,} pixels in {len(data):,} bytes; above 16 million pixels"
    with pytest.raises(InputError, match=claim):
        read_picture(data)


def test_large_and_plain_pictures_are_read():
    plain = encoded(Image.new("L", (5_000, 4_000), 7), "PNG")
    assert len(plain) < 40_000 and read_picture(plain).pixels.shape == (4_000, 5_000, 3)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_a_tiff_without_the_rows_it_claims_is_damaged(compression):
    data = encoded(Image.fromarray(colours(16, 16)), "TIFF", compression=compression)
    read_picture(data)
    tag = struct.pack("<HH", 257, 3)  # the height
    place = data.index(tag) if tag in data else data.index(struct.pack("<HH", 257, 4))
    claimed = data[: place + 8] + struct.pack("<H", 60_000) + data[place + 10 :]
    with pytest.raises(InputError, match="damaged .*60,000 rows"):
        read_picture(claimed)


def frames_of(file_format, count=3, **options):
    frames = [Image.new("RGB", (5, 4), (60 * i, 0, 0)) for i in range(count)]
    return encoded(
        frames[0], file_format, save_all=True, append_images=frames[1:], duration=50, **options
    )


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_the_frames_of_an_animation_are_counted_and_read(file_format):
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = frames_of(file_format, **options)
    assert read_header(data).frames == 3
    assert abs(int(read_picture(data, frame=2).pixels[0, 0, 0]) - 120) < 9
    with pytest.raises(InputError, match="damaged"):
        read_picture(data, frame=3)


def test_a_picture_for_two_eyes_is_no_animation():
    data = frames_of("MPO", 2)
    assert read_header(data) == (False, 1) and read_picture(data).pixels.shape == (4, 5, 3)


@pytest.mark.parametrize(("file_format", "suffix"), [("AVIF", ".avif"), ("JPEG2000", ".jp2")])
def test_formats_of_telephones_and_archives_are_read(file_format, suffix):
    ramp = np.broadcast_to(np.linspace(0, 255, 20).astype(np.uint8)[:, None, None], (20, 20, 3))
    picture = read_picture(encoded(Image.fromarray(ramp), file_format))
    assert picture.format == file_format and suffix in PICTURE_SUFFIXES
    assert np.abs(picture.pixels.astype(int) - ramp).max() < 12


HEIC = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"heic", 0, b"mif1", b"heic") + bytes(400)


def test_heic_is_named_with_what_it_needs(monkeypatch):
    monkeypatch.setattr(formats, "FORMATS", tuple(set(formats.FORMATS) - {"HEIF"}))
    with pytest.raises(InputError, match=r"x.jpg is HEIC.*pip install 'tfi2i\[heif\]'"):
        read_picture(HEIC, "x.jpg")


def test_heic_is_read_with_its_package():
    package = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    package.from_pillow(Image.new("RGB", (64, 48), (200, 30, 30))).save(buffer, quality=90)
    picture = read_picture(buffer.getvalue())
    assert picture.format == "HEIF" and picture.pixels.shape == (48, 64, 3)
    assert np.abs(picture.pixels.astype(int) - [200, 30, 30]).max() < 12
    with pytest.raises(InputError, match="x.jpg is a damaged or incomplete HEIC file"):
        read_picture(HEIC, "x.jpg")


def test_what_lies_beside_pictures_is_named_by_its_kind():
    names = ["a.HEIC", "b.heic", "clip.mov", "notes.txt", "Makefile", "raw.NEF", "old.txt"]
    kinds = formats.counted(formats.kind_of(Path(name)) for name in names)
    assert re.fullmatch(r"2 HEIC.*, 2 TXT, 1 video, 1 without a suffix, 1 camera raw", kinds)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_a_jpeg_without_its_end_is_read_where_all_pixels_are_there(options):
    good = encoded(Image.fromarray(colours(40, 50)), "JPEG", **options)
    for cut in (1, 2):
        np.testing.assert_array_equal(read_picture(good[:-cut]).pixels, read_picture(good).pixels)
    almost = read_picture(good[:-3]).pixels != read_picture(good).pixels
    assert not almost[:30].any() and not almost[:, :46].any()
    for short in (good[:-400], good[: len(good) // 2]):
        with pytest.raises(InputError, match="damaged"):
            read_picture(short)


def test_a_progressive_jpeg_without_its_last_scans_is_damaged():
    good = encoded(Image.fromarray(colours(40, 50)), "JPEG", progressive=True)
    scans = [i for i in range(len(good)) if good[i : i + 2] == b"\xff\xda"]
    tables = good.rindex(b"\xff\xc4", 0, scans[-1])
    with pytest.raises(InputError, match="damaged"):
        read_picture(good[:tables])


def test_a_png_is_read_where_all_pixels_are_there():
    pixels = colours(20, 20)
    good = encoded(Image.fromarray(pixels), "PNG")
    end = good.index(b"IEND") - 4
    text = b"\0\0\0\4tEXtab\0c" + b"\xde\xad\xbe\xef"  # a wrong checksum
    for data in (good[:end], good[:-5], good[:33] + text + good[33:], good[:end] + text):
        np.testing.assert_array_equal(read_picture(data).pixels, pixels)
    spoilt = bytearray(good)
    spoilt[good.index(b"IDAT") + 30] ^= 1
    for data in (good[: end - 60], bytes(spoilt), good[:-30]):
        with pytest.raises(InputError, match="damaged"):
            read_picture(data)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_png_whose_pixels_lack_their_checksum_is_damaged(tmp_path, depth):
    rows = b"".join(b"\0" + bytes(range(40, 40 + 3 * depth)) for _ in range(8))
    good = png(8, 8, depth, 2, rows).replace(zlib.compress(rows), zlib.compress(rows, 0))
    place = good.index(b"IDAT")
    stored = zlib.compress(rows, 0)
    packed = bytearray(stored)
    packed[3:7] = b"\xff\xff\0\0"  # the block never ends: its own sum is taken for pixels
    packed[9] ^= 1

    def of(body: bytes) -> bytes:
        start, crc = struct.pack(">I", len(body)) + b"IDAT", zlib.crc32(b"IDAT" + stored)
        return good[: place - 4] + start + body + struct.pack(">I", crc) + good[-12:]

    path = tmp_path / "x.png"
    path.write_bytes(of(stored))
    assert read_picture(path).pixels.shape == (8, 8, 3)
    path.write_bytes(of(bytes(packed)))
    for read in (read_picture, read_values):
        with pytest.raises(InputError, match="x.png is damaged .*checksum"):
            read(path)
    assert read_header(path).frames == 1


def sixteen_bit(values, file_format):
    """16-bit colour, which Pillow does not write."""
    height, width, channels = values.shape
    kind = {2: 4, 3: 2, 4: 6}[channels]
    if file_format == "PNG":
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
        return png(width, height, 16, kind, rows)
    order = "<" if file_format == "II" else ">"
    raw = values.astype(f"{order}u2").tobytes()
    tags = [(256, 3, width), (257, 3, height), (258, 3, 16), (259, 3, 1), (262, 3, 2)]
    tags += [(273, 4, 0), (277, 3, channels), (278, 3, height), (279, 4, len(raw))]
    start = 8 + 2 + 12 * len(tags) + 4 + 2 * channels
    bits = struct.pack(f"{order}{channels}H", *[16] * channels)
    content = file_format.encode() + struct.pack(f"{order}HIH", 42, 8, len(tags))
    for tag, size, value in tags:
        count = channels if tag == 258 else 1
        inline = int.from_bytes(bits, "little" if order == "<" else "big")
        value = {258: start - len(bits) if channels > 2 else inline, 273: start}.get(tag, value)
        code = "HH" if size == 3 and count == 1 else "I"
        content += struct.pack(f"{order}HHI", tag, size, count)
        content += struct.pack(order + code, *((value, 0) if code == "HH" else (value,)))
    return content + bytes(4) + bits + raw


@pytest.mark.parametrize("file_format", ["PNG", "II", "MM"])
@pytest.mark.parametrize("channels", [3, 4])
def test_no_bit_of_sixteen_bit_colour_is_lost_in_a_range(file_format, channels):
    values = np.random.default_rng(0).integers(0, 65536, (6, 7, channels), np.uint16)
    data = sixteen_bit(values, file_format)
    found = read_values(data)
    np.testing.assert_array_equal(found.array, values[..., :3])
    assert found.deep and found.full == (0, 65535) and read_header(data).deep
    pixels = read_picture(data, value_range=(0, 65535)).pixels
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels, values[..., :3])


def test_grey_and_alpha_of_sixteen_bits_in_a_range():
    values = np.random.default_rng(0).integers(0, 4096, (6, 7, 2), np.uint16)
    picture = read_picture(sixteen_bit(values, "PNG"), value_range=(0, 4095))
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, values[..., 1] >> 8)
    wanted = np.rint(values[..., 0] / 4095 * 65535)
    for channel in range(3):
        np.testing.assert_array_equal(picture.pixels[..., channel], wanted)


@pytest.mark.parametrize(
    ("values", "value_range", "wanted"),
    [
        (np.array([[0, 4095, 5000]], np.uint16), (0, 4095), [0, 65535, 65535]),
        (np.array([[-1000, 500, 2000]], np.int32), (-1000, 2000), [0, 32768, 65535]),
        (np.array([[0.5, 1.5, 2.5]], np.float32), (0.5, 2.5), [0, 32768, 65535]),
        (np.array([[10, 20, 30]], np.uint8), (10, 30), [0, 32768, 65535]),
    ],
)
def test_a_range_makes_black_and_white(values, value_range, wanted):
    data = encoded(Image.fromarray(values), "TIFF")
    np.testing.assert_array_equal(
        read_picture(data, value_range=value_range).pixels[0, :, 1], wanted
    )
    assert read_values(data).found == (values.min(), values.max())


def test_pillows_warnings_stay_silent_in_threads_and_the_filters_come_back():
    exif = Image.Exif()
    exif[0x010F] = "maker" * 50
    # The maker's text is said to lie beyond the end of the file: Pillow warns.
    data = encoded(Image.fromarray(colours()), "JPEG", exif=exif.tobytes()[:-200])
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with Image.open(io.BytesIO(data)) as image:
            image.getexif().get(0x0112)
        assert shown, "this file is meant to provoke a warning"
        shown.clear()
        before = list(warnings.filters)
        threads = [
            threading.Thread(target=lambda: [read_picture(data) for _ in range(20)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert shown == []
        assert warnings.filters == before


def test_folders_are_listed_recursively_sorted_and_without_loops(tmp_path):
    for name in ("b/2.PNG", "b/10.jpg", "a.tiff", "note.txt", "._a.png", ".cache/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    (tmp_path / "aa").symlink_to(tmp_path / "b")
    (tmp_path / "dead.png").symlink_to(tmp_path / "nothing.png")
    (tmp_path / "folder.png").mkdir()
    elsewhere = tmp_path / "b" / "linked"
    (tmp_path / ".store").mkdir()
    (tmp_path / ".store" / "d.webp").write_bytes(b"")
    elsewhere.symlink_to(tmp_path / ".store")
    names = [str(path.relative_to(tmp_path)) for path in picture_paths(tmp_path)]
    assert names == ["a.tiff", "b/10.jpg", "b/2.PNG", "b/linked/d.webp"]
    with pytest.raises(InputError, match="not there"):
        picture_paths(tmp_path / "none")
    with pytest.raises(InputError, match="a file, not a folder"):
        picture_paths(tmp_path / "note.txt")


def test_writing_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_picture(path, colours())
    before = path.read_bytes()

    def disk_full(self, file, **options):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", disk_full)
    with pytest.raises(InputError, match=r"a\.png.*No space left"):
        write_picture(path, colours())
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("name", "pixels", "alpha"),
    [
        ("a.gif", colours(), None),
        ("a", colours(), None),
        ("a.png", colours()[..., 0], None),
        ("a.png", colours().astype(np.float32), None),
        ("a.png", colours()[:0], None),
        ("a.png", colours(), np.zeros((3, 3), np.uint8)),
        ("a.webp", np.zeros((1, 16_384, 3), np.uint8), None),
        ("missing/a.png", colours(), None),
    ],
)
def test_what_cannot_be_written_is_refused_by_name(tmp_path, name, pixels, alpha):
    with pytest.raises(InputError, match=name):
        write_picture(tmp_path / name, pixels, alpha)
    assert list(Path(tmp_path).iterdir()) == []


def test_pictures_need_no_tensorflow():
    source = Path(__file__).parents[2] / "tfi2i" / "pictures" / "files.py"
    assert "tensorflow" not in source.read_text().replace("TensorFlow", "")


def test_a_name_may_be_as_long_as_names_can_be(tmp_path):
    pixels = np.zeros((2, 3, 3), np.uint8)
    path = tmp_path / f"{'n' * 251}.png"
    write_picture(path, pixels)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_tiff_of_channels_that_are_no_colours_is_named_as_what_it_is():
    values = np.zeros((6, 7, 2), np.uint16)
    with pytest.raises(InputError, match="x is a TIFF file of 2 channels of 16-bit whole numbers"):
        read_picture(sixteen_bit(values, "II"), "x")
    data = sixteen_bit(values, "MM")
    with pytest.raises(InputError, match="x is not a picture that can be read"):
        read_picture(data[:30], "x")


def test_a_picture_of_more_pixels_than_are_wanted_is_named_with_the_option(tmp_path):
    path = tmp_path / "big.png"
    Image.new("L", (2_000, 1_001)).save(path)
    words = r"big\.png has 2,002,000 pixels \(2,000 x 1,001\), and the limit is 2 million; scale it"
    words += r" down first, or lift the limit by --megapixels of translate or data\.megapixels"
    for read in (read_picture, read_values):
        with pytest.raises(InputError, match=words):
            read(path, megapixels=2)
    assert read_picture(path, megapixels=3).pixels.shape == (1_001, 2_000, 3)
    with pytest.raises(InputError, match="the limit is 100 million"):  # and nothing is decoded
        read_picture(png(12_000, 9_000, 1, 0, np.random.default_rng(0).bytes(20_000)))
