package dev.tfi2i.demo

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.ColorSpace
import android.media.ExifInterface
import dev.tfi2i.core.Geometry
import dev.tfi2i.core.Pixels
import dev.tfi2i.core.Size
import java.io.File
import java.io.IOException

/**
 * A photo, upright.
 *
 * @property shown it, of a size for the screen.
 * @property stored its size in [file] where that is larger than memory allows; null: as it is.
 */
class Photo(val file: File, val pixels: Pixels, val shown: Bitmap, val stored: Size?) {
    companion object {
        /** Share of this process's memory for a photo; the rest is for the app itself. */
        private const val SHARE_OF_HEAP = 0.7

        /**
         * The photo in a file, in sRGB, turned as its Exif tag says.
         *
         * @throws DemoException it is no picture.
         */
        fun read(file: File): Photo {
            val options = BitmapFactory.Options().apply { inJustDecodeBounds = true }
            BitmapFactory.decodeFile(file.path, options)
            if (options.outWidth <= 0 || options.outHeight <= 0) {
                throw DemoException(Message(R.string.not_a_photo))
            }
            val heapBytes = (Runtime.getRuntime().maxMemory() * SHARE_OF_HEAP).toLong()
            val sample = Geometry.sampleSize(options.outWidth, options.outHeight, heapBytes)
            val orientation = orientation(file)
            val pixels = Geometry.upright(decoded(file, sample), orientation)
            val turned = orientation >= ExifInterface.ORIENTATION_TRANSPOSE
            val stored = if (turned) {
                Size(height = options.outWidth, width = options.outHeight)
            } else {
                Size(height = options.outHeight, width = options.outWidth)
            }
            return Photo(file, pixels, pixels.toShownBitmap(), stored.takeIf { sample > 1 })
        }

        private fun decoded(file: File, sample: Int): Pixels {
            val options = BitmapFactory.Options().apply {
                inSampleSize = sample
                inPreferredConfig = Bitmap.Config.ARGB_8888
                inPreferredColorSpace = ColorSpace.get(ColorSpace.Named.SRGB)
            }
            val bitmap = BitmapFactory.decodeFile(file.path, options)
                ?: throw DemoException(Message(R.string.not_a_photo))
            return bitmap.toPixels().also { bitmap.recycle() }
        }

        private fun orientation(file: File): Int = try {
            ExifInterface(file.path)
                .getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL)
        } catch (_: IOException) {
            ExifInterface.ORIENTATION_NORMAL // such as WebP on old phones: no tags that it can read
        }
    }
}
