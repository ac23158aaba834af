package dev.tfi2i.core

import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min
import kotlin.math.round
import kotlin.math.roundToInt

/** Turning, cutting, padding and scaling of pictures. */
object Geometry {
    /** Bytes for each pixel of a photo: it, its translation, a mix of both, and room to work. */
    private const val BYTES_PER_PIXEL = 16

    /**
     * The number to divide the sides of a photo by when it is decoded, so that translating it fits
     * into [heapBytes] of memory: a power of two, as Android's `BitmapFactory` wants it.
     */
    fun sampleSize(width: Int, height: Int, heapBytes: Long): Int {
        require(width > 0 && height > 0) { "A photo has at least one pixel, not $width x $height." }
        var size = 1
        while (size < max(width, height) &&
            sampled(width, size) * sampled(height, size) > heapBytes / BYTES_PER_PIXEL
        ) {
            size *= 2
        }
        return size
    }

    private fun sampled(side: Int, size: Int): Long = (side.toLong() + size - 1) / size

    /** A picture turned as its Exif [orientation] 1..8 says; others, such as 0, say nothing. */
    fun upright(pixels: Pixels, orientation: Int): Pixels {
        if (orientation !in 2..8) return pixels
        val width = pixels.width
        val height = pixels.height
        val transposed = orientation >= 5
        val fromTheRight = orientation in setOf(2, 3, 7, 8)
        val fromBelow = orientation in setOf(3, 4, 6, 7)
        val first = if (fromBelow) (height - 1) * width else 0
        val start = if (fromTheRight) first + width - 1 else first
        val alongRow = if (fromTheRight) -1 else 1
        val alongColumn = if (fromBelow) -width else width
        val size = if (transposed) Size(width, height) else Size(height, width)
        val right = if (transposed) alongColumn else alongRow
        val down = if (transposed) alongRow else alongColumn
        val argb = IntArray(pixels.argb.size) {
            pixels.argb[start + it / size.width * down + it % size.width * right]
        }
        return Pixels(size.width, size.height, argb)
    }

    /** The part of a picture from ([left], [top]) on. */
    fun crop(pixels: Pixels, left: Int, top: Int, size: Size): Pixels {
        require(left in 0..pixels.width - size.width && top in 0..pixels.height - size.height) {
            "A picture of ${pixels.width} x ${pixels.height} has no part of ${size.width} x " +
                "${size.height} at ($left, $top)."
        }
        val argb = IntArray(size.width * size.height)
        for (row in 0 until size.height) {
            val from = (top + row) * pixels.width + left
            pixels.argb.copyInto(argb, row * size.width, from, from + size.width)
        }
        return Pixels(size.width, size.height, argb)
    }

    /** The size of the largest part of a picture whose sides are as those of [shape]. */
    fun cropSize(pixels: Pixels, shape: Size): Size {
        val wide = pixels.width.toLong() * shape.height > pixels.height.toLong() * shape.width
        return if (wide) {
            Size(pixels.height, scaled(shape.width, pixels.height, shape.height))
        } else {
            Size(scaled(shape.height, pixels.width, shape.width), pixels.width)
        }
    }

    /** The centre of a picture, as large as it can be with sides as those of [shape]. */
    fun centreCrop(pixels: Pixels, shape: Size): Pixels {
        val size = cropSize(pixels, shape)
        val left = (pixels.width - size.width) / 2
        return crop(pixels, left, (pixels.height - size.height) / 2, size)
    }

    /** The size that a picture has to be scaled to to fill [frame] along one side, undistorted. */
    fun fittedSize(pixels: Pixels, frame: Size): Size {
        val wide = pixels.width.toLong() * frame.height > pixels.height.toLong() * frame.width
        return if (wide) {
            Size(scaled(pixels.height, frame.width, pixels.width), frame.width)
        } else {
            Size(frame.height, scaled(pixels.width, frame.height, pixels.height))
        }
    }

    /** A picture scaled to fill [frame] along one side, and padded along the other. */
    fun letterbox(pixels: Pixels, frame: Size): Pixels =
        padded(resize(pixels, fittedSize(pixels, frame)), frame)

    /**
     * A picture reflected below and to the right, as often as it takes to be of [size], as
     * `tfi2i_export.tflite.pictures` pads.
     */
    fun padded(pixels: Pixels, size: Size): Pixels {
        require(size.height >= pixels.height && size.width >= pixels.width) {
            "A picture of ${pixels.width} x ${pixels.height} cannot be padded to " +
                "${size.width} x ${size.height}."
        }
        val rows = reflected(pixels.height, 0, size.height)
        val columns = reflected(pixels.width, 0, size.width)
        val argb = IntArray(size.height * size.width) {
            pixels.argb[rows[it / size.width] * pixels.width + columns[it % size.width]]
        }
        return Pixels(size.width, size.height, argb)
    }

    /** Sources of the [count] indices from [start] on of an endlessly reflected axis. */
    internal fun reflected(length: Int, start: Int, count: Int): IntArray {
        val period = max(1, 2 * (length - 1))
        return IntArray(count) {
            val at = (start + it) % period
            min(at, period - at)
        }
    }

    /**
     * A picture scaled to [size]: along a side that shrinks each pixel is the mean of all it
     * covers, along one that grows it is interpolated between the nearest two.
     */
    fun resize(pixels: Pixels, size: Size): Pixels {
        if (size == Size(pixels.height, pixels.width)) return pixels
        val down = taps(pixels.height, size.height)
        val across = taps(pixels.width, size.width)
        val argb = IntArray(size.height * size.width)
        val row = FloatArray(pixels.width * CHANNELS) // only one is ever float
        for (y in 0 until size.height) {
            row.fill(0f)
            down[y].weights.forEachIndexed { i, weight ->
                add(pixels, down[y].first + i, weight, row)
            }
            for (x in 0 until size.width) argb[y * size.width + x] = across[x].of(row)
        }
        return Pixels(size.width, size.height, argb)
    }

    private fun add(pixels: Pixels, y: Int, weight: Float, row: FloatArray) {
        var at = 0
        for (i in y * pixels.width until (y + 1) * pixels.width) {
            val argb = pixels.argb[i]
            row[at++] += red(argb) * weight
            row[at++] += green(argb) * weight
            row[at++] += blue(argb) * weight
        }
    }

    /** The pixels from [first] on that one pixel of a scaled picture is made of. */
    private class Taps(val first: Int, val weights: FloatArray) {
        fun of(row: FloatArray): Int {
            var red = 0f
            var green = 0f
            var blue = 0f
            var at = first * CHANNELS
            for (weight in weights) {
                red += row[at++] * weight
                green += row[at++] * weight
                blue += row[at++] * weight
            }
            return opaque(round(red).toInt(), round(green).toInt(), round(blue).toInt())
        }
    }

    private fun taps(from: Int, to: Int): List<Taps> =
        List(to) { if (to < from) mean(it, from, to) else between(it, from, to) }

    private fun mean(index: Int, from: Int, to: Int): Taps {
        // In units of 1 / to of a pixel all edges are whole numbers.
        val start = index.toLong() * from
        val end = start + from
        val first = (start / to).toInt()
        val last = ((end - 1) / to).toInt()
        val weights = FloatArray(last - first + 1) {
            val pixel = (first + it).toLong() * to
            (min(end, pixel + to) - max(start, pixel)).toFloat() / from
        }
        return Taps(first, weights)
    }

    private fun between(index: Int, from: Int, to: Int): Taps {
        val centre = ((index + 0.5) * from / to - 0.5).coerceIn(0.0, from - 1.0)
        val first = min(floor(centre).toInt(), max(0, from - 2))
        val part = (centre - first).toFloat()
        return Taps(first, if (part == 0f) floatArrayOf(1f) else floatArrayOf(1 - part, part))
    }

    private fun scaled(side: Int, by: Int, over: Int): Int =
        max(1, (side.toDouble() * by / over).roundToInt())
}
