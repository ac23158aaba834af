package dev.tfi2i.core

import kotlin.math.round

/** Pictures as a generator takes and gives them: RGB 0..255, (1, H, W, 3). */
object ImageTensor {
    fun pack(pixels: Pixels): FloatArray =
        pack(pixels, IntArray(pixels.height) { it }, IntArray(pixels.width) { it })

    /**
     * The picture (1, [height], [width], 3) as pixels: rounded half to even, as NumPy's `rint`,
     * and clipped.
     *
     * @throws TranslationException a value is NaN or infinite.
     */
    fun unpack(values: FloatArray, width: Int, height: Int): Pixels {
        require(values.size.toLong() == width.toLong() * height * CHANNELS) {
            "A picture of $width x $height has ${width.toLong() * height * CHANNELS} values, " +
                "not ${values.size}."
        }
        val argb = IntArray(width * height) {
            val at = it * CHANNELS
            opaque(level(values[at]), level(values[at + 1]), level(values[at + 2]))
        }
        return Pixels(width, height, argb)
    }

    /** A picture of any size as the values of an [input] besides the first picture. */
    fun second(pixels: Pixels, input: Tensor): FloatArray {
        val (_, height, width) = input.shape
        val side = minOf(pixels.height, pixels.width)
        val shown = if (input.isCropped) Geometry.centreCrop(pixels, Size(side, side)) else pixels
        val levels = pack(Geometry.resize(shown, Size(height, width)))
        val (low, high) = input.range
        val step = 255f / (high - low) // levels of a unit: as `from_levels` of Python computes it
        return FloatArray(levels.size) { levels[it] / step + low }
    }

    /** The pixels in [rows] x [columns] as a tensor; an index may come more than once. */
    internal fun pack(pixels: Pixels, rows: IntArray, columns: IntArray): FloatArray {
        val values = FloatArray(rows.size * columns.size * CHANNELS)
        var at = 0
        for (row in rows) {
            for (column in columns) {
                val argb = pixels.argb[row * pixels.width + column]
                values[at++] = red(argb).toFloat()
                values[at++] = green(argb).toFloat()
                values[at++] = blue(argb).toFloat()
            }
        }
        return values
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
