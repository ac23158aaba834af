package dev.tfi2i.core

import kotlin.math.round

/** The numbers in picture files that are black and white. */
data class ValueRange(val black: Double, val white: Double) {
    init {
        require(black < white) { "A range rises, and $black to $white does not." }
    }

    /** Tells that it is beyond what files of 8 bits hold. */
    val isDeep: Boolean get() = black < 0 || white > LARGEST_LEVEL

    /** What each of the first [count] whole numbers is among 0..65535, as `depth.spread` has it. */
    internal fun table(count: Int): IntArray = IntArray(count) {
        val share = (it - black) / (white - black)
        round(share.coerceIn(0.0, 1.0) * LARGEST_NUMBER).toInt()
    }
}

/**
 * How a model reads picture files.
 *
 * @property range the numbers that are black and white; null: the files' own colours.
 * @property isGrey tells that colours become grey, and that before they are rounded to 8 bits.
 */
data class Reading(val range: ValueRange? = null, val isGrey: Boolean = false) {
    /** A picture of a file of 8 bits; it is used up. */
    fun of(pixels: Pixels): Pixels {
        val scaled = Scaled(range ?: return pixels, isGrey, LEVELS)
        for (at in pixels.argb.indices) {
            val argb = pixels.argb[at]
            pixels.argb[at] = scaled.argb(red(argb), green(argb), blue(argb))
        }
        return pixels
    }
}

internal const val LEVELS = 1 shl 8 // of 8 bits
internal const val NUMBERS = 1 shl 16 // of 16
private const val LARGEST_LEVEL = LEVELS - 1
private const val LARGEST_NUMBER = NUMBERS - 1
private const val NUMBERS_PER_LEVEL = LARGEST_NUMBER / LARGEST_LEVEL

/** The colours of numbers, of which there are [count], in a range. */
internal class Scaled(range: ValueRange, private val isGrey: Boolean, count: Int) {
    private val table = range.table(count)

    fun argb(red: Int, green: Int, blue: Int): Int {
        val r = table[red]
        val g = table[green]
        val b = table[blue]
        if (isGrey) return opaque(level(luminance(r, g, b)))
        return opaque(level(r), level(g), level(b))
    }

    fun argb(grey: Int): Int = opaque(level(table[grey]))

    /** Of 16 bits as 8; none is in the middle between two. */
    private fun level(number: Int): Int = (number + NUMBERS_PER_LEVEL / 2) / NUMBERS_PER_LEVEL
}
