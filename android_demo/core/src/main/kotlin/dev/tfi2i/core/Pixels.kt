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

internal const val CHANNELS = 3 // of a picture in colour
internal const val GREY = 1 // channel of a grey picture
private const val OPAQUE = 0xFF shl 24

/** Rec. 601's luminance in units of 2^-[BITS]. */
private const val RED_SHARE = 19_595
private const val GREEN_SHARE = 38_470
private const val BLUE_SHARE = 7_471
private const val BITS = 16
private const val HALF = 1 shl BITS - 1

internal fun red(argb: Int): Int = argb shr 16 and 0xFF

internal fun green(argb: Int): Int = argb shr 8 and 0xFF

internal fun blue(argb: Int): Int = argb and 0xFF

/** The luminance 0..255, as Pillow and `tfi2i.pictures.channels` round it; grey stays as it is. */
internal fun grey(argb: Int): Int =
    RED_SHARE * red(argb) + GREEN_SHARE * green(argb) + BLUE_SHARE * blue(argb) + HALF shr BITS

/** The luminance of numbers of 16 bits, rounded as that of 8. */
internal fun luminance(red: Int, green: Int, blue: Int): Int =
    // The sum is below 2^32: shifted as a number without a sign, it is right again.
    RED_SHARE * red + GREEN_SHARE * green + BLUE_SHARE * blue + HALF ushr BITS

internal fun opaque(grey: Int): Int = opaque(grey, grey, grey)

internal fun opaque(red: Int, green: Int, blue: Int): Int =
    OPAQUE or (red shl 16) or (green shl 8) or blue
