"""PNG files of 16 bits, and what Python reads in them; the app and the page read the same."""

import base64
import struct
import zlib

import numpy as np

from tfi2i.pictures.channels import in_channels
from tfi2i.pictures.files import read_picture
from tfi2i.pictures.pixels import eight_bit

COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # by the number of channels
WHOLE = ((0, 0, 1, 1),)
INTERLACED = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
INTERLACED += ((0, 1, 1, 2),)


def numbers(height, width, channels, most=65536):
    drawn = np.random.default_rng(height + width + channels)
    return drawn.integers(0, most, (height, width, channels), np.uint16)


def chunk(name, body, wrong=0):
    return struct.pack(f">I4s{len(body)}sI", len(body), name, body, zlib.crc32(name + body) ^ wrong)


def filtered(values):
    """Rows of numbers, each by the next filter."""
    step = 2 * values.shape[-1]
    before = np.zeros(2 * values[0].size + step, int)
    for i, row in enumerate(values):
        raw = np.frombuffer(row.astype(">u2").tobytes(), np.uint8).astype(int)
        here = np.concatenate([np.zeros(step, int), raw])
        left, up, corner = here[:-step], before[step:], before[:-step]
        guess = left + up - corner
        far = np.stack([abs(guess - one) for one in (left, up, corner)])
        nearest = np.choose(far.argmin(0), (left, up, corner))
        predicted = (0 * raw, left, up, (left + up) // 2, nearest)[i % 5]
        yield bytes([i % 5]) + ((raw - predicted) % 256).astype(np.uint8).tobytes()
        before = here


def deep_png(values, *extra, interlaced=False, parts=2):
    """A file of numbers (H, W, C); `extra` are chunks before the pixels, by name and body."""
    height, width, channels = values.shape
    passes = INTERLACED if interlaced else WHOLE
    smaller = [values[y::down, x::across] for x, y, across, down in passes]
    rows = b"".join(b"".join(filtered(one)) for one in smaller if one.size)
    packed = zlib.compress(rows)
    cut = -(-len(packed) // parts)
    pixels = [chunk(b"IDAT", packed[i : i + cut]) for i in range(0, len(packed), cut)]
    about = struct.pack(">IIBBBBB", width, height, 16, COLOURS[channels], 0, 0, interlaced)
    chunks = [chunk(b"IHDR", about), *(chunk(*one) for one in extra), *pixels]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


def turned(orientation):
    """An eXIf chunk."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"eXIf", b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)


def read(file, value_range, grey=False, sample=1):
    """What Python reads in a file, (H, W, 3) uint8, on white."""
    picture = read_picture(file, value_range=value_range)
    pixels = eight_bit(in_channels(picture.pixels, 1 if grey else 3))
    pixels = np.repeat(pixels, 3, -1) if grey else pixels
    if picture.alpha is not None:
        alpha = picture.alpha[..., None].astype(int)
        pixels = ((pixels * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return pixels[::sample, ::sample]


def files():
    """By name a file, its range, and how else it is read."""
    clear_grey, clear_colour = numbers(4, 6, 1), numbers(4, 6, 3)
    of_grey = b"tRNS", clear_grey[1, 2].astype(">u2").tobytes()
    of_colour = b"tRNS", clear_colour[1, 2].astype(">u2").tobytes()
    wrong = deep_png(numbers(3, 2, 1), turned(6))
    grey, colour, opaque = numbers(11, 7, 1), numbers(11, 7, 3), numbers(5, 4, 4)
    opaque[..., 3] = 65535
    return {
        "grey": (deep_png(numbers(6, 9, 1, 4096)), (0, 4095), {}),
        "colour": (deep_png(numbers(6, 9, 3, 4096)), (0, 4095), {}),
        "colour for a model of grey": (deep_png(numbers(12, 11, 3)), (0.3, 65535), {"grey": True}),
        "grey with alpha": (deep_png(numbers(6, 5, 2)), (-2000, 70000.5), {}),
        "colour with alpha": (deep_png(numbers(6, 5, 4)), (1000, 40000), {"grey": True}),
        "colour that is opaque": (deep_png(opaque), (1e4, 10001), {}),
        "interlaced grey": (deep_png(grey, interlaced=True), (20000, 40000.25), {}),
        "interlaced colour": (deep_png(colour, interlaced=True, parts=5), (0, 65535), {}),
        "interlaced pixel": (deep_png(numbers(1, 1, 4), interlaced=True), (0, 65535), {}),
        "every second": (deep_png(colour), (500, 65000), {"sample": 2}),
        "every third": (deep_png(grey, interlaced=True), (0, 65000), {"sample": 3}),
        "transparent grey": (deep_png(clear_grey, of_grey), (0, 65535), {}),
        "transparent colour": (deep_png(clear_colour, of_colour), (0, 65535), {}),
        "turned": (deep_png(numbers(3, 5, 1), turned(6)), (0, 65535), {}),
        "upside down": (deep_png(numbers(3, 5, 3), (b"PLTE", bytes(9)), turned(3)), (0, 9e4), {}),
        "damage beside": (wrong.replace(b"eXIf", b"eXIg"), (0, 65535), {}),
    }


def damaged():
    """By name a file that is refused, and some of the reason."""
    good = deep_png(numbers(8, 8, 3))
    start, at = good.find(b"IDAT"), good.rfind(b"IDAT")
    rows = zlib.compress(b"".join(bytes([7]) + bytes(4) for _ in range(3)))
    about = struct.pack(">IIBBBBB", 2, 3, 16, 0, 0, 0, 0)

    def other(width, height, pixels, compression=0):
        about = struct.pack(">IIBBBBB", width, height, 16, 0, compression, 0, 0)
        return good[:8] + chunk(b"IHDR", about) + pixels + chunk(b"IEND", b"")

    return {
        "cut off": (good[: at + 20], "damaged"),
        "without its end": (good[: at - 4], "damaged"),
        "checksum": (good[: at + 8] + bytes([good[at + 8] ^ 1]) + good[at + 9 :], "damaged"),
        "checksum of the header": (good[:20] + b"\1" + good[21:], "checksum of IHDR"),
        "packing": (good[: start + 4] + b"\0" + good[start + 5 :], "damaged"),
        "filter": (good[:8] + chunk(b"IHDR", about) + chunk(b"IDAT", rows), "filter 7"),
        "no pixels": (other(2, 3, b""), "no pixels"),
        "nothing": (other(0, 3, chunk(b"IDAT", rows)), "header is wrong"),
        "unknown packing": (other(2, 3, chunk(b"IDAT", rows), 1), "header is wrong"),
        "large": (other(20_000, 20_000, chunk(b"IDAT", rows)), "178 million"),
        "long": (other(70_000, 1, chunk(b"IDAT", rows)), "65535 a side"),
        "a wrong part": (good[:8] + good[8:33] + b"\xff" * 9, "no length"),
    }


def text(data):
    return base64.b64encode(data).decode()
