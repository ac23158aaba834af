package dev.tfi2i.demo

import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import dev.tfi2i.core.Geometry
import dev.tfi2i.core.Pixels
import dev.tfi2i.core.Size
import kotlin.math.max
import kotlin.math.roundToInt

/** Pixels along the longer side of what is drawn; more would cost memory and not be seen. */
private const val LONGEST_SHOWN = 2048

/** The pixels of a bitmap; what is transparent is on white. */
fun Bitmap.toPixels(): Pixels {
    val opaque = if (hasAlpha()) onWhite() else this
    val argb = IntArray(width * height)
    opaque.getPixels(argb, 0, width, 0, 0, width, height)
    if (opaque !== this) opaque.recycle()
    return Pixels(width, height, argb)
}

private fun Bitmap.onWhite(): Bitmap {
    val flat = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888)
    val canvas = Canvas(flat)
    canvas.drawColor(Color.WHITE)
    canvas.drawBitmap(this, 0f, 0f, null)
    return flat
}

fun Pixels.toBitmap(): Bitmap =
    Bitmap.createBitmap(argb, width, height, Bitmap.Config.ARGB_8888).apply { setHasAlpha(false) }

/** A bitmap for the screen, smaller than the picture if that is large. */
fun Pixels.toShownBitmap(): Bitmap {
    val longest = max(width, height)
    if (longest <= LONGEST_SHOWN) return toBitmap()
    val scale = LONGEST_SHOWN.toDouble() / longest
    val size = Size(
        height = max(1, (height * scale).roundToInt()),
        width = max(1, (width * scale).roundToInt()),
    )
    return Geometry.resize(this, size).toBitmap()
}
