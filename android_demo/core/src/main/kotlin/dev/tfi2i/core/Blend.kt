package dev.tfi2i.core

import kotlin.math.roundToInt

/** The picture between a photo and its translation. */
object Blend {
    private const val BITS = 16
    private const val HALF = 1 shl (BITS - 1)

    /** [strength] 0 gives [before] and 1 gives [after], exactly; both are of one size. */
    fun mix(before: Pixels, after: Pixels, strength: Float): Pixels {
        require(before.width == after.width && before.height == after.height) {
            "${before.width} x ${before.height} and ${after.width} x ${after.height} pixels " +
                "cannot be mixed."
        }
        require(strength in 0f..1f) { "A strength is from 0 to 1, not $strength." }
        // Fixed point: a slider waits for the millions of pixels of a photo.
        val weight = (strength * (1 shl BITS)).roundToInt()
        val argb = IntArray(before.argb.size) {
            val from = before.argb[it]
            val to = after.argb[it]
            opaque(
                between(red(from), red(to), weight),
                between(green(from), green(to), weight),
                between(blue(from), blue(to), weight),
            )
        }
        return Pixels(before.width, before.height, argb)
    }

    private fun between(from: Int, to: Int, weight: Int): Int =
        ((from shl BITS) + (to - from) * weight + HALF) shr BITS
}
