"""Picture files inside a TensorFlow graph: decoded with a bound, translated, encoded again.

A server decodes what strangers send. TensorFlow's decoders allocate whatever a header claims, so
here the claim is read first: what is larger than `LARGEST` pixels, or no picture at all, fails with
INVALID_ARGUMENT before anything is decoded. Every op is older than TensorFlow 2.17, so that servers
older than the exporting TensorFlow load the graph; what their decoders do not know they refuse.

Shape letters: H, W space, C channels; a file is a string scalar, a picture uint8 (H, W, C).
"""

from collections.abc import Callable

import tensorflow as tf

from tfi2i.pictures.channels import WEIGHTS
from tfi2i.pictures.depth import Range
from tfi2i.pictures.tiles import MINIMUM, PIXEL_BUDGET

LARGEST = 2**25  # pixels of the largest picture that is decoded
WHOLE = PIXEL_BUDGET
"""Pixels of the largest picture that is translated at its own size; larger ones are scaled down to
it, and their translations up again."""
GIF_BLOCKS = 2**15  # that a GIF may have; each takes a step of a loop to look at
HEAD = 32  # bytes, which hold the size in every format but JPEG and GIF
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG"  # which such files begin with
PAD = ((0, 0), (0, 0), (0, 1))
KINDS = "a JPEG, PNG, GIF, BMP or WebP file"


def decoded(file: tf.Tensor, channels: int = 3) -> tf.Tensor:
    """A JPEG, PNG, GIF (first frame), BMP or WebP file -> its picture in 3 or 4 channels.

    Alpha is that of PNG and WebP, and 255 otherwise. A camera's rotation tag is ignored. JPEG is
    decoded as Pillow decodes it.
    """
    file, head = _fitting(file)
    is_jpeg, is_webp = _starts(head, JPEG), _is_webp(head)

    def opaque(picture: tf.Tensor) -> tf.Tensor:
        return picture if channels == 3 else tf.pad(picture, PAD, constant_values=255)

    def webp() -> tf.Tensor:
        # With three channels asked for, a WebP file with alpha is refused.
        picture = tf.io.decode_image(file, 0, expand_animations=False)
        if channels == 3:
            return picture[..., :3]
        return tf.cond(tf.shape(picture)[-1] == 4, lambda: picture, lambda: opaque(picture))

    def png() -> tf.Tensor:
        picture = tf.io.decode_png(file, channels)
        if channels == 3:
            return picture
        # Below 8 bits the largest number of so few bits is taken for opaque.
        most = tf.bitwise.left_shift(tf.constant(1, tf.int64), head[24]) - 1
        wrong = tf.reduce_all(tf.cast(picture[..., 3], tf.int64) == most)
        return tf.cond(wrong, lambda: opaque(picture[..., :3]), lambda: picture)

    picture = tf.case(
        [
            # The default method is faster and up to six levels off.
            (is_jpeg, lambda: opaque(tf.io.decode_jpeg(file, 3, dct_method="INTEGER_ACCURATE"))),
            (is_webp, webp),
            (_starts(head, PNG), png),
        ],
        default=lambda: opaque(tf.io.decode_image(file, 3, expand_animations=False)),
    )
    picture.set_shape((None, None, channels))
    return picture


def levels(file: tf.Tensor, channels: int, value_range: Range | None = None) -> tf.Tensor:
    """A file -> its picture (H, W, channels), float32 0..255, as `tfi2i.pictures` reads it.

    Args:
        file: File, as `decoded` takes it.
        channels: Channels, 1 to 4, as `tfi2i.pictures.channels` has them.
        value_range: Numbers in files that are black and white: in a PNG file of 16 bits those up to
            65535, in all others 0 to 255.
    """
    with_alpha = channels in (2, 4)
    asked = 4 if with_alpha else 3
    head = _bytes(file, 0, HEAD)
    is_deep = _starts(head, PNG) & (head[24] == 16)
    if value_range is None:
        # Pillow rounds 16 bits of grey to 8, and cuts those of colours.
        is_deep &= head[25] == 0

    def sixteen() -> tf.Tensor:
        picture = tf.io.decode_png(_fitting(file)[0], asked, tf.uint16)
        if value_range is None:
            return tf.cast(tf.round(tf.cast(picture, tf.float32) / 257), tf.uint8)
        # Of alpha the upper half: it is no number of the range.
        return tf.concat([picture[..., :3], picture[..., 3:] // 256], -1)

    kind = tf.uint8 if value_range is None else tf.uint16
    picture = tf.cond(is_deep, sixteen, lambda: tf.cast(decoded(file, asked), kind))
    picture = tf.ensure_shape(picture, (None, None, asked))
    colours, alpha = picture[..., :3], picture[..., 3:]
    if value_range is not None:
        colours = tf.gather(_spread(value_range), tf.cast(colours, tf.int32))
    if channels < 3:
        colours = _grey(colours)
    scaled = tf.cast(colours, tf.float32) / (1 if value_range is None else 257)
    return tf.concat([scaled, tf.cast(alpha, tf.float32)], -1)


def _spread(value_range: Range) -> tf.Tensor:
    """(65536,) int32: what each number of 16 bits is among 0..65535, as `depth.spread` has it."""
    low, high = value_range
    shares = (tf.range(65536, dtype=tf.float64) - low) / (high - low)
    return tf.cast(tf.round(tf.clip_by_value(shares, 0, 1) * 65535), tf.int32)


def _grey(picture: tf.Tensor) -> tf.Tensor:
    """Whole numbers (H, W, 3) -> (H, W, 1), as `tfi2i.pictures.channels` does it."""
    wide = tf.int32 if picture.dtype == tf.uint8 else tf.int64
    total = sum(tf.cast(picture[..., i], wide) * weight for i, weight in enumerate(WEIGHTS))
    return tf.cast(tf.bitwise.right_shift(total + 0x8000, 16), tf.int32)[..., None]


def encoded(translation: tf.Tensor, value_range: Range | None = None) -> tf.Tensor:
    """A float image (H, W, C) in 0..255 -> a PNG file, as `tfi2i translate` writes it.

    Args:
        translation: Image.
        value_range: Numbers that black and white stand for, in 16 bits above 255. Where PNG cannot
            hold them (see `held_by_png`), the file is of 8 bits, black to white.
    """
    if value_range is None:
        return tf.io.encode_png(_whole(translation, 255, tf.uint8))
    wide = _whole(translation * 257, 65535, tf.int32)
    short = _whole(tf.cast(wide, tf.float32) / 257, 255, tf.int32)
    if not held_by_png(value_range):
        return tf.io.encode_png(tf.cast(short, tf.uint8))
    low, high = value_range
    colours = 3 if translation.shape[-1] > 2 else 1
    numbers = low + tf.range(65536, dtype=tf.float64) / 65535 * (high - low)
    made = tf.gather(tf.cast(tf.round(numbers), tf.int32), wide[..., :colours])
    alpha, kind = short[..., colours:], tf.uint8
    if high > 255:
        alpha, kind = 257 * alpha, tf.uint16
    return tf.io.encode_png(tf.cast(tf.concat([made, alpha], -1), kind))


def held_by_png(value_range: Range) -> bool:
    """Whether a PNG file holds all the numbers of a range."""
    low, high = value_range
    return low >= 0 and high <= 65535 and float(low).is_integer() and float(high).is_integer()


def _whole(image: tf.Tensor, most: int, kind: tf.DType) -> tf.Tensor:
    return tf.cast(tf.clip_by_value(tf.round(image), 0, most), kind)


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


def _fitting(file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A file that may be decoded, and its first bytes."""
    head = _bytes(file, 0, HEAD)
    height, width = _sides(file, head)
    # Of palettes TensorFlow takes the indices for grey, and animated WebP corrupts its memory.
    palette = _starts(head, b"BM") & (_number(head[28:30]) < 24)
    animated = _is_webp(head) & _starts(head[12:], b"VP8X") & (head[20] // 2 % 2 == 1)
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
        return tf.identity(file), head


def _is_webp(head: tf.Tensor) -> tf.Tensor:
    return _starts(head, b"RIFF") & _starts(head[8:], b"WEBP")


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
        PNG: lambda: (_number(head[20:24][::-1]), _number(head[16:20][::-1])),
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
