package dev.tfi2i.core

/** Sides in pixels; height first, as the shapes of tensors have it. */
data class Size(val height: Int, val width: Int)

/** A picture, row by row: [argb] has an opaque 0xFFRRGGBB for each pixel. */
class Pixels(val width: Int, val height: Int, val argb: IntArray) {
    init {
        require(width > 0 && height > 0) {
            "A picture has at least one pixel, not $width x $height."
        }
        require(argb.size.toLong() == width.toLong() * height) {
            "A picture of $width x $height has ${width.toLong() * height} pixels, not ${argb.size}."
        }
    }
}

internal const val CHANNELS = 3
private const val OPAQUE = 0xFF shl 24

internal fun red(argb: Int): Int = argb shr 16 and 0xFF

internal fun green(argb: Int): Int = argb shr 8 and 0xFF

internal fun blue(argb: Int): Int = argb and 0xFF

internal fun opaque(red: Int, green: Int, blue: Int): Int =
    OPAQUE or (red shl 16) or (green shl 8) or blue
