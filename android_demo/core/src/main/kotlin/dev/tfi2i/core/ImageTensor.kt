package dev.tfi2i.core

import kotlin.math.round

/** Pictures as a generator takes and gives them: 0..255, RGB (1, H, W, 3) or grey (1, H, W, 1). */
object ImageTensor {
    /** A picture as a tensor; in 1 of [channels] it is made grey. */
    fun pack(pixels: Pixels, channels: Int = CHANNELS): FloatArray =
        pack(pixels, IntArray(pixels.height) { it }, IntArray(pixels.width) { it }, channels)

    /**
     * The picture (1, [height], [width], [channels]) as pixels: rounded half to even, as NumPy's
     * `rint`, and clipped.
     *
     * @throws TranslationException a value is NaN or infinite.
     */
    fun unpack(values: FloatArray, width: Int, height: Int, channels: Int = CHANNELS): Pixels {
        require(values.size.toLong() == width.toLong() * height * channels) {
            "A picture of $width x $height has ${width.toLong() * height * channels} values, " +
                "not ${values.size}."
        }
        val argb = IntArray(width * height) { pixel(values, it * channels, channels) }
        return Pixels(width, height, argb)
    }

    /** A picture of any size as the values of an [input] besides the first picture. */
    fun second(pixels: Pixels, input: Tensor): FloatArray {
        val (_, height, width, channels) = input.shape
        val side = minOf(pixels.height, pixels.width)
        val shown = if (input.isCropped) Geometry.centreCrop(pixels, Size(side, side)) else pixels
        val levels = pack(Geometry.resize(shown, Size(height, width)), channels)
        val (low, high) = input.range
        val step = 255f / (high - low) // levels of a unit: as `from_levels` of Python computes it
        return FloatArray(levels.size) { levels[it] / step + low }
    }

    /** The pixels in [rows] x [columns] as a tensor; an index may come more than once. */
    internal fun pack(
        pixels: Pixels,
        rows: IntArray,
        columns: IntArray,
        channels: Int,
    ): FloatArray {
        val values = FloatArray(rows.size * columns.size * channels)
        var at = 0
        for (row in rows) {
            for (column in columns) {
                val argb = pixels.argb[row * pixels.width + column]
                if (channels == GREY) {
                    values[at++] = grey(argb).toFloat()
                    continue
                }
                values[at++] = red(argb).toFloat()
                values[at++] = green(argb).toFloat()
                values[at++] = blue(argb).toFloat()
            }
        }
        return values
    }

    /** The pixel whose values begin at [at]. */
    internal fun pixel(values: FloatArray, at: Int, channels: Int): Int =
        if (channels == GREY) {
            opaque(level(values[at]))
        } else {
            opaque(level(values[at]), level(values[at + 1]), level(values[at + 2]))
        }

    internal fun level(value: Float): Int {
        if (!value.isFinite()) {
            throw TranslationException(
                "The model gives values that are not finite; export it again.",
            )
        }
        return round(value).coerceIn(0f, 255f).toInt()
    }
}
