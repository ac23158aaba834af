package dev.tfi2i.demo

import android.graphics.Bitmap
import java.io.IOException
import java.io.OutputStream
import java.time.LocalDateTime
import java.time.format.DateTimeFormatter
import java.util.Locale

const val PICTURE_TYPE = "image/jpeg"
private const val JPEG_QUALITY = 95

/** A name for a translation that is written now, such as tfi2i-20261121-140305-117.jpg. */
fun pictureName(): String {
    val format = DateTimeFormatter.ofPattern("yyyyMMdd-HHmmss-SSS", Locale.ROOT)
    return "tfi2i-${LocalDateTime.now().format(format)}.jpg"
}

/** Writes a bitmap as JPEG. */
fun OutputStream.writePicture(bitmap: Bitmap) {
    if (!bitmap.compress(Bitmap.CompressFormat.JPEG, JPEG_QUALITY, this)) {
        throw IOException("The JPEG encoder failed.")
    }
}
