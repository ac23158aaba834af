package dev.tfi2i.core

import java.io.DataInputStream
import java.io.IOException
import java.io.InputStream
import java.util.zip.Inflater
import java.util.zip.InflaterInputStream

/** A picture, and its size in the file, of whose rows and columns it may have a part. */
class ReadPicture(val pixels: Pixels, val stored: Size)

/** A picture file that cannot be read; the message is a sentence for people. */
class PictureException(message: String) : Exception(message)

/** PNG files of 16 bits, whose numbers what decodes photos would cut to 8. */
object DeepPng {
    /** The largest picture, as of `tfi2i.pictures.formats`, and the longest side. */
    private const val MOST_PIXELS = 178_000_000L
    private const val LONGEST_SIDE = 65_535

    /**
     * The picture in a PNG file of 16 bits a channel, grey or RGB: in the range of a [reading],
     * rounded to 8 bits, upright, and on white where it is transparent; null: another file.
     *
     * @param file from its first byte on; it is not closed.
     * @param sample is told the size, and gives of how many rows and columns one is to be taken.
     * @throws PictureException it is damaged, or larger than pictures that are read.
     */
    fun read(file: InputStream, reading: Reading, sample: (Size) -> Int = { 1 }): ReadPicture? {
        val range = reading.range ?: return null
        val chunks = PngChunks(DataInputStream(file.buffered(PNG_BUFFER)))
        try {
            val header = chunks.header() ?: return null
            val (height, width) = header.size
            if (height.toLong() * width > MOST_PIXELS || maxOf(height, width) > LONGEST_SIDE) {
                throw PictureException(
                    "it has $width x $height pixels, and at most ${MOST_PIXELS / 1_000_000} " +
                        "million and $LONGEST_SIDE a side are read; scale it down first.",
                )
            }
            val step = sample(Size(height, width))
            val canvas = Canvas(header, Scaled(range, reading.isGrey, NUMBERS), step)
            decode(chunks, header, canvas)
            val turned = Geometry.upright(canvas.pixels(), chunks.orientation)
            val isTransposed = chunks.orientation in FIRST_TRANSPOSED..LAST_ORIENTATION
            return ReadPicture(turned, if (isTransposed) Size(width, height) else header.size)
        } catch (error: IOException) { // of what unpacks it, too
            val reason = error.message ?: "it ends too early"
            throw PictureException("it is damaged or incomplete ($reason); copy it again.")
        }
    }

    private fun decode(chunks: PngChunks, header: PngHeader, canvas: Canvas) {
        chunks.seekPixels()
        canvas.clear = chunks.clear
        val inflater = Inflater()
        try {
            val packed = InflaterInputStream(chunks.pixels, inflater, PNG_BUFFER)
            val input = DataInputStream(packed)
            for (pass in if (header.isInterlaced) INTERLACED else listOf(Pass(0, 0, 1, 1))) {
                pass.read(input, header, canvas)
            }
        } finally {
            inflater.end()
        }
        chunks.finish()
    }
}

internal const val PNG_BUFFER = 1 shl 16
private const val FIRST_TRANSPOSED = 5
private const val LAST_ORIENTATION = 8

/** The pixels of one of the pictures that an interlaced file consists of, by their places. */
private class Pass(val x: Int, val y: Int, val across: Int, val down: Int) {
    fun read(input: DataInputStream, header: PngHeader, canvas: Canvas) {
        val rows = (header.size.height - y + down - 1) / down
        val columns = (header.size.width - x + across - 1) / across
        if (rows <= 0 || columns <= 0) return
        val step = header.bytesPerPixel
        var above = ByteArray(columns * step)
        var row = ByteArray(columns * step)
        for (i in 0 until rows) {
            val filter = input.readUnsignedByte()
            input.readFully(row)
            unfilter(filter, row, above, step)
            canvas.put(row, y + i * down, x, across)
            above = row.also { row = above }
        }
    }
}

private val INTERLACED = listOf(
    Pass(0, 0, 8, 8), Pass(4, 0, 8, 8), Pass(0, 4, 4, 8), Pass(2, 0, 4, 4), Pass(0, 2, 2, 4),
    Pass(1, 0, 2, 2), Pass(0, 1, 1, 2),
)

/** Adds to each byte of a row what its filter predicts of those before it and [above] it. */
private fun unfilter(filter: Int, row: ByteArray, above: ByteArray, step: Int) {
    if (filter !in 0..4) throw IOException("a row has the filter $filter")
    for (at in row.indices) {
        val left = if (at >= step) row[at - step].toInt() and 0xFF else 0
        val up = above[at].toInt() and 0xFF
        val predicted = when (filter) {
            0 -> return
            1 -> left
            2 -> up
            3 -> (left + up) / 2
            else -> nearest(left, up, if (at >= step) above[at - step].toInt() and 0xFF else 0)
        }
        row[at] = (row[at] + predicted).toByte()
    }
}

/** That of three neighbours which is nearest to [left] + [up] - [corner], as Paeth has it. */
private fun nearest(left: Int, up: Int, corner: Int): Int {
    val toLeft = kotlin.math.abs(up - corner)
    val toUp = kotlin.math.abs(left - corner)
    val toCorner = kotlin.math.abs(left + up - 2 * corner)
    return when {
        toLeft <= toUp && toLeft <= toCorner -> left
        toUp <= toCorner -> up
        else -> corner
    }
}

/** The pixels of a file, of every [sample]th row and column, as they are decoded. */
private class Canvas(
    private val header: PngHeader,
    private val scaled: Scaled,
    private val sample: Int,
) {
    private val width = (header.size.width + sample - 1) / sample
    private val height = (header.size.height + sample - 1) / sample
    private val argb = IntArray(width * height)
    private val colours = header.numbers

    /** The numbers of a pixel that is transparent, if there are such. */
    var clear: List<Int>? = null

    fun pixels() = Pixels(width, height, argb)

    /** Takes a row of the file; its pixels begin at [x] and are [across] apart. */
    fun put(row: ByteArray, y: Int, x: Int, across: Int) {
        if (y % sample != 0) return
        val step = header.bytesPerPixel
        for (i in 0 until row.size / step) {
            val column = x + i * across
            if (column % sample != 0) continue
            argb[y / sample * width + column / sample] = pixel(row, i * step)
        }
    }

    private fun pixel(row: ByteArray, at: Int): Int {
        val first = number(row, at)
        val argb = if (colours == GREY) {
            scaled.argb(first)
        } else {
            scaled.argb(first, number(row, at + 2), number(row, at + 4))
        }
        val hidden = clear
        if (hidden != null) {
            val isHidden = hidden.indices.all { hidden[it] == number(row, at + 2 * it) }
            return if (isHidden) WHITE else argb
        }
        if (!header.hasAlpha) return argb
        return onWhite(argb, row[at + 2 * colours].toInt() and 0xFF) // the upper half, as in Python
    }

    private fun number(row: ByteArray, at: Int): Int =
        (row[at].toInt() and 0xFF shl 8) or (row[at + 1].toInt() and 0xFF)

    private fun onWhite(argb: Int, alpha: Int): Int {
        fun shown(level: Int) = (level * alpha + MOST * (MOST - alpha) + MOST / 2) / MOST
        return opaque(shown(red(argb)), shown(green(argb)), shown(blue(argb)))
    }

    private companion object {
        const val MOST = 255
        val WHITE = opaque(MOST)
    }
}
