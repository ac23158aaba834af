"""Picture files in a graph: decoded as Pillow decodes them, refused before they take memory."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tfi2i_export.saved_model import picture_files as encoded_pictures
from tfi2i_export.saved_model.picture_files import (
    GIF_BLOCKS,
    at_own_size,
    decoded,
    encoded,
    levels,
)

from tfi2i.pictures.channels import CHANNELS, in_channels
from tfi2i.pictures.files import read_picture

HEIGHT, WIDTH = 37, 53


def slopes():
    down, across = np.linspace(0, 255, HEIGHT)[:, None], np.linspace(0, 255, WIDTH)[None]
    return np.stack(np.broadcast_arrays(down, across, 255 - down), -1).astype(np.uint8)


def file(kind, picture=None, **options):
    given = Image.fromarray(slopes()) if picture is None else picture
    buffer = io.BytesIO()
    given.save(buffer, kind, **options)
    return buffer.getvalue()


def with_alpha():
    picture = Image.fromarray(slopes()).convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    return picture


def turned(*angles):
    return [Image.fromarray(slopes()).rotate(angle) for angle in angles]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width, height, data=b""):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def drawn_png(bits, kind, most, *parts):
    """A PNG file of noise; kinds are 0 grey, 2 RGB, 4 grey and 6 RGB with alpha."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[kind]
    values = np.random.default_rng(kind).integers(0, most + 1, (9, 7, channels))
    rows = [b"\0" + row.astype(">u2" if bits == 16 else "u1").tobytes() for row in values]
    header = struct.pack(">IIBBBBB", 7, 9, bits, kind, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"".join(rows)))
    whole = [chunk(b"IHDR", header), *parts, data, chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(whole)


def changed(content, place, values):
    return content[:place] + values + content[place + len(values) :]


@pytest.fixture(scope="module")
def decode():
    return tf.function(decoded, input_signature=[tf.TensorSpec((), tf.string)])


GOOD = {
    "jpeg": lambda: file("JPEG"),
    "progressive": lambda: file("JPEG", progressive=True),
    "grey jpeg": lambda: file("JPEG", Image.fromarray(slopes()).convert("L")),
    "cmyk": lambda: file("JPEG", Image.fromarray(slopes()).convert("CMYK")),
    "png": lambda: file("PNG"),
    "palette": lambda: file("PNG", Image.fromarray(slopes()).convert("P")),
    "gif": lambda: file("GIF"),
    "animation": lambda: file("GIF", save_all=True, append_images=turned(90), comment=b"x" * 600),
    "bmp": lambda: file("BMP"),
    "webp": lambda: file("WEBP"),
    "lossless": lambda: file("WEBP", lossless=True),
    "extended": lambda: file("WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"),
}


@pytest.mark.parametrize("name", GOOD)
def test_formats_are_decoded_as_by_pillow(decode, name):
    content = GOOD[name]()
    with Image.open(io.BytesIO(content)) as picture:
        expected = np.asarray(picture.convert("RGB"))
    np.testing.assert_array_equal(decode(content), expected)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
def test_alpha_is_dropped(decode, kind):
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    np.testing.assert_array_equal(decode(file(kind, with_alpha(), **options)), slopes())


FILES = {name: GOOD[name] for name in ("jpeg", "palette", "gif", "bmp", "webp")}
FILES |= {
    f"{bits} bits, {most}, {kind}": lambda kind=kind, bits=bits, most=most: drawn_png(
        bits, kind, most
    )
    for bits, most in ((8, 255), (16, 65535), (16, 4095))
    for kind in (0, 2, 4, 6)
}
FILES |= {
    "webp with alpha": lambda: file("WEBP", with_alpha(), lossless=True, exact=True),
    "transparent palette": lambda: file(
        "PNG", Image.fromarray(slopes()).convert("P"), transparency=3
    ),
    "one bit": lambda: file("PNG", Image.fromarray(slopes()).convert("1")),
    "transparent grey": lambda: drawn_png(16, 0, 9, chunk(b"tRNS", struct.pack(">H", 5))),
}


@pytest.mark.parametrize("value_range", [None, (0, 4095), (-1000, 2000.5)])
@pytest.mark.parametrize("name", FILES)
def test_files_are_read_in_any_channels_and_range_as_tfi2i_reads_them(name, value_range):
    """To the last bit."""
    content = FILES[name]()
    picture = read_picture(content, value_range=value_range)
    for channels in CHANNELS:
        wanted = in_channels(picture.pixels, channels, picture.alpha)
        full = np.float32(1 if value_range is None else 257)
        found = levels(tf.constant(content), channels, value_range)
        np.testing.assert_array_equal(found, wanted / full)


def gif_with_a_frame_of(width, height):
    content = file("GIF")
    return changed(content, content.index(b"\x2c\0\0\0\0") + 5, struct.pack("<HH", width, height))


def jpeg_of(width, height):
    content = file("JPEG")
    return changed(content, content.index(b"\xff\xc0") + 5, struct.pack(">HH", height, width))


def webp_of_16384():
    content = file("WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
    return changed(content, 24, b"\xff\x3f\0\xff\x3f\0")


LARGE = {
    "png header": lambda: png_of(60000, 60000),
    "png that is": lambda: png_of(12000, 12000, b"\0" * (12000 * 36001)),
    "jpeg": lambda: jpeg_of(65000, 65000),
    "gif": lambda: gif_with_a_frame_of(65535, 65535),
    "bmp": lambda: changed(file("BMP"), 18, struct.pack("<ii", 65535, 65535)),
    "upside down": lambda: changed(file("BMP"), 18, struct.pack("<ii", 65535, -65535)),
    "lossless": lambda: changed(file("WEBP", lossless=True), 21, b"\xff\xff\xff\x0f"),
    "extended": webp_of_16384,
}


@pytest.mark.parametrize("name", LARGE)
def test_what_claims_to_be_huge_is_refused_by_its_header(decode, name):
    with pytest.raises(tf.errors.InvalidArgumentError, match="larger than 33554432 pixels"):
        decode(LARGE[name]())


BAD = {
    "empty": (lambda: b"", "not a JPEG, PNG"),
    "text": (lambda: b"hello world", "not a JPEG, PNG"),
    "tiff": (lambda: file("TIFF"), "not a JPEG, PNG"),
    "pixel count of zero": (lambda: png_of(0, 8), "not a JPEG, PNG"),
    "half a png": (lambda: file("PNG", with_alpha())[:120], "PNG"),
    "half a jpeg": (lambda: file("JPEG")[:300], "JPEG|truncat"),
    "head of a png": (lambda: b"\x89PNG", "not a JPEG, PNG"),
    "palette of a bmp": (lambda: file("BMP", Image.new("P", (8, 8))), "24 or 32 bits"),
    "moving webp": (lambda: file("WEBP", save_all=True, append_images=turned(90)), "animations"),
    "gif of blocks": (lambda: file("GIF")[:13] + b"\x21\xff\0" * GIF_BLOCKS, "blocks"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture_is_refused(decode, name):
    make, message = BAD[name]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        decode(make())


def test_damaged_files_are_pictures_or_refused(decode):
    """A crash would end the process."""
    random = np.random.default_rng(0)
    files = [make() for make in GOOD.values()] + [file("WEBP", with_alpha())]
    refused = 0
    for _ in range(400):
        content = bytearray(files[random.integers(len(files))])
        for _ in range(random.integers(1, 6)):
            content[random.integers(min(len(content), 200))] = random.integers(256)
        try:
            assert decode(bytes(content)).shape[-1] == 3
        except tf.errors.InvalidArgumentError:
            refused += 1
    assert 0 < refused < 400


@pytest.mark.parametrize("sides", [(1, 1), (3, 70), (32, 36), (41, 33)])
def test_pictures_are_reflected_up_to_a_multiple_and_cropped_back(sides):
    picture = np.random.default_rng(0).integers(0, 256, (*sides, 3), np.uint8)
    seen = []

    def translate(image):
        seen.append(image.numpy())
        return 255 - image

    answer = at_own_size(tf.constant(picture), translate, 4).numpy()
    np.testing.assert_array_equal(answer, 255 - picture)
    taken = [max(32, -(-side // 4) * 4) for side in sides]
    assert seen[0].shape == (1, *taken, 3)
    grow = [(0, to - side) for to, side in zip(taken, sides, strict=True)]
    np.testing.assert_array_equal(seen[0][0], np.pad(picture, [*grow, (0, 0)], mode="reflect"))


def test_pictures_over_a_megapixel_are_scaled_down_and_up_again(monkeypatch):
    monkeypatch.setattr(encoded_pictures, "WHOLE", 40 * 40)
    picture = tf.constant(np.kron(slopes(), np.ones((3, 3, 1), np.uint8)))
    seen = []

    def translate(image):
        seen.append(image.shape)
        return image

    answer = at_own_size(picture, translate, 4).numpy()
    assert answer.shape == picture.shape
    assert seen == [(1, 36, 48, 3)]
    assert np.abs(answer - picture.numpy().astype(float)).mean() < 3


def test_answers_are_rounded_and_clipped():
    image = tf.constant([[[-3.0, 1.4, 1.6], [254.4, 254.6, 300.0]]])
    pixels = np.asarray(Image.open(io.BytesIO(encoded(image).numpy())))
    np.testing.assert_array_equal(pixels, [[[0, 1, 2], [254, 255, 255]]])
