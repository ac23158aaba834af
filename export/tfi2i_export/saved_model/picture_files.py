"""Picture files inside a TensorFlow graph: decoded with a bound, translated, encoded again.

A server decodes what strangers send. TensorFlow's decoders allocate whatever a header claims, so
here the claim is read first: what is larger than `LARGEST` pixels, or no picture at all, fails with
INVALID_ARGUMENT before anything is decoded. Every op is older than TensorFlow 2.17, so that servers
older than the exporting TensorFlow load the graph; what their decoders do not know they refuse.

Shape letters: H, W space; a file is a string scalar, a picture uint8 (H, W, 3).
"""

from collections.abc import Callable

import tensorflow as tf

from tfi2i.pictures.channels import WEIGHTS
from tfi2i.pictures.tiles import MINIMUM, PIXEL_BUDGET

LARGEST = 2**25  # pixels of the largest picture that is decoded
WHOLE = PIXEL_BUDGET
"""Pixels of the largest picture that is translated at its own size; larger ones are scaled down to
it, and their translations up again."""
GIF_BLOCKS = 2**15  # that a GIF may have; each takes a step of a loop to look at
HEAD = 32  # bytes, which hold the size in every format but JPEG and GIF
JPEG = b"\xff\xd8\xff"  # which such files begin with
KINDS = "a JPEG, PNG, GIF, BMP or WebP file"


def decoded(file: tf.Tensor) -> tf.Tensor:
    """A JPEG, PNG, GIF (first frame), BMP or WebP file -> its picture; alpha is dropped.

    A camera's rotation tag is ignored. JPEG is decoded as Pillow decodes it.
    """
    head = _bytes(file, 0, HEAD)
    is_jpeg = _starts(head, JPEG)
    is_webp = _starts(head, b"RIFF") & _starts(head[8:], b"WEBP")
    height, width = _sides(file, head)
    # Of palettes TensorFlow takes the indices for grey, and animated WebP corrupts its memory.
    palette = _starts(head, b"BM") & (_number(head[28:30]) < 24)
    animated = is_webp & _starts(head[12:], b"VP8X") & (head[20] // 2 % 2 == 1)
    refusals = [
        tf.debugging.Assert((height > 0) & (width > 0), [f"This is not {KINDS}."]),
        tf.debugging.Assert(~palette, ["BMP files need 24 or 32 bits a pixel."]),
        tf.debugging.Assert(~animated, ["WebP animations are not decoded; send one picture."]),
        tf.debugging.Assert(
            tf.cast(height, tf.float64) * tf.cast(width, tf.float64) <= LARGEST,
            [f"The picture is larger than {LARGEST} pixels; its height and width:", height, width],
        ),
    ]
    with tf.control_dependencies(refusals):
        file = tf.identity(file)
    picture = tf.case(
        [
            # The default method is faster and up to six levels off.
            (is_jpeg, lambda: tf.io.decode_jpeg(file, 3, dct_method="INTEGER_ACCURATE")),
            # With three channels asked for, a WebP file with alpha is refused.
            (is_webp, lambda: tf.io.decode_image(file, 0, expand_animations=False)[..., :3]),
        ],
        default=lambda: tf.io.decode_image(file, 3, expand_animations=False),
    )
    picture.set_shape((None, None, 3))
    return picture


def in_channels(picture: tf.Tensor, channels: int) -> tf.Tensor:
    """A picture (H, W, 3) as it is, or as grey (H, W, 1): as `tfi2i.pictures.channels` does it."""
    if channels == 3:
        return picture
    wide = tf.cast(picture, tf.int32) * tf.constant(WEIGHTS)
    total = tf.reduce_sum(wide, -1, keepdims=True) + 0x8000
    return tf.cast(tf.bitwise.right_shift(total, 16), tf.uint8)


def encoded(translation: tf.Tensor) -> tf.Tensor:
    """A float image (H, W, C) in 0..255 -> a PNG file."""
    return tf.io.encode_png(tf.cast(tf.clip_by_value(tf.round(translation), 0, 255), tf.uint8))


def at_own_size(
    picture: tf.Tensor, translate: Callable[[tf.Tensor], tf.Tensor], multiple: int
) -> tf.Tensor:
    """The translation of a picture (H, W, 3), float 0..255, of the same size.

    Args:
        picture: Picture; up to `WHOLE` pixels are translated as they are.
        translate: (1, h, w, 3) float32 0..255 -> the same, of any h and w that are multiples of
            `multiple`; the picture is reflected up to such sides, and the answer cropped.
        multiple: Multiple as above.
    """
    sides = tf.shape(picture)[:2]
    shrunk = tf.sqrt(WHOLE / tf.reduce_prod(tf.cast(sides, tf.float32)))
    small = tf.maximum(tf.cast(tf.cast(sides, tf.float32) * shrunk, tf.int32), 1)
    image = tf.cond(
        shrunk < 1,
        lambda: tf.image.resize(picture, small, antialias=True),
        lambda: tf.cast(picture, tf.float32),
    )
    now = tf.shape(image)[:2]
    padded = tf.maximum(-(-now // multiple) * multiple, -(-MINIMUM // multiple) * multiple)
    for axis in (0, 1):
        image = tf.gather(image, _reflected(now[axis], padded[axis]), axis=axis)
    translation = translate(image[None])[0, : now[0], : now[1]]
    return tf.cond(shrunk < 1, lambda: tf.image.resize(translation, sides), lambda: translation)


def _reflected(length: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """Indices 0 .. wanted - 1 reflected into 0 .. length - 1, as often as it takes."""
    period = tf.maximum(2 * (length - 1), 1)
    index = tf.range(wanted) % period
    return tf.minimum(tf.minimum(index, period - index), length - 1)


def _bytes(file: tf.Tensor, start: tf.Tensor | int, length: int) -> tf.Tensor:
    """(length,) int64: bytes of a file from `start` on; zeros behind its end."""
    start = tf.minimum(tf.cast(start, tf.int32), tf.strings.length(file))
    there = tf.strings.substr(file, start, length)
    values = tf.io.decode_raw(there, tf.uint8, fixed_length=length)
    return tf.cast(tf.ensure_shape(values, (length,)), tf.int64)


def _starts(values: tf.Tensor, text: bytes) -> tf.Tensor:
    return tf.reduce_all(values[: len(text)] == tf.constant(list(text), tf.int64))


def _number(values: tf.Tensor) -> tf.Tensor:
    """The number in some bytes, the lowest first."""
    return tf.reduce_sum(values * tf.constant([256**i for i in range(values.shape[0])], tf.int64))


def _absolute(values: tf.Tensor) -> tf.Tensor:
    """Size of a signed number of four bytes: the height of a BMP that is upside down is < 0."""
    number = _number(values)
    return tf.minimum(number, 2**32 - number)


def _sides(file: tf.Tensor, head: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Height and width by a file's header; 0 of what is no picture."""
    bits = _number(head[21:25])
    kinds = {
        JPEG: lambda: tuple(tf.unstack(tf.io.extract_jpeg_shape(file, tf.int64)[:2])),
        b"GIF8": lambda: _gif_sides(file),
        b"\x89PNG": lambda: (_number(head[20:24][::-1]), _number(head[16:20][::-1])),
        b"BM": lambda: (_absolute(head[22:26]), _absolute(head[18:22])),
    }
    of_webp = {  # lossy, lossless, extended
        b"VP8 ": lambda: (_number(head[28:30]) % 2**14, _number(head[26:28]) % 2**14),
        b"VP8L": lambda: (bits // 2**14 % 2**14 + 1, bits % 2**14 + 1),
        b"VP8X": lambda: (_number(head[27:30]) + 1, _number(head[24:27]) + 1),
    }
    cases = [(_starts(head, magic), sides) for magic, sides in kinds.items()]
    for magic, sides in of_webp.items():
        cases.append((_starts(head, b"RIFF") & _starts(head[8:], b"WEBP" + magic), sides))
    return tf.case(cases, default=lambda: (tf.constant(0, tf.int64), tf.constant(0, tf.int64)))


def _gif_sides(file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The largest height and width of any frame, which is what the decoder allocates.

    Blocks follow one another: an extension (0x21), a frame (0x2c) or the end; the first two carry
    data in pieces of up to 255 bytes, an empty one last.
    """

    def table(flags: tf.Tensor) -> tf.Tensor:
        """Bytes of the colour table that a block with these flags has."""
        entries = tf.bitwise.left_shift(tf.constant(2, tf.int64), flags % 8)
        return tf.where(flags >= 128, 3 * entries, 0)

    def step(place, in_data, height, width, going, count):
        here = _bytes(file, place, 10)
        is_extension, is_frame = here[0] == 0x21, here[0] == 0x2C
        frame = ~in_data & is_frame
        skipped = tf.where(is_frame, 11 + table(here[9]), 2)  # with the code size before the data
        place += tf.where(in_data, here[0] + 1, skipped)
        height = tf.where(frame, tf.maximum(height, _number(here[7:9])), height)
        width = tf.where(frame, tf.maximum(width, _number(here[5:7])), width)
        going = in_data | is_frame | is_extension
        in_data = tf.where(in_data, here[0] > 0, going)
        return place, in_data, height, width, going, count + 1

    length = tf.cast(tf.strings.length(file), tf.int64)
    zero = tf.constant(0, tf.int64)
    start = 13 + table(_bytes(file, 10, 1)[0])
    *_, height, width, _, count = tf.while_loop(
        lambda place, in_data, height, width, going, count: (
            going & (place < length) & (count < GIF_BLOCKS)
        ),
        step,
        (start, tf.constant(False), zero, zero, tf.constant(True), tf.constant(0)),
        parallel_iterations=1,
    )
    many = tf.debugging.Assert(
        count < GIF_BLOCKS, [f"The GIF has over {GIF_BLOCKS} blocks; send its first frame alone."]
    )
    with tf.control_dependencies([many]):
        return tf.identity(height), tf.identity(width)
