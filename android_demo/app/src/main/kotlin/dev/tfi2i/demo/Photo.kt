package dev.tfi2i.demo

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.ColorSpace
import android.media.ExifInterface
import dev.tfi2i.core.DeepPng
import dev.tfi2i.core.Geometry
import dev.tfi2i.core.PictureException
import dev.tfi2i.core.Pixels
import dev.tfi2i.core.Reading
import dev.tfi2i.core.Size
import java.io.File
import java.io.IOException

/**
 * A photo, upright.
 *
 * @property shown it, of a size for the screen.
 * @property stored its size in [file] where that is larger than memory allows; null: as it is.
 * @property reading the way in which it was read, as a model wants it.
 * @property isDeep tells that the file's own numbers of 16 bits were read.
 */
class Photo private constructor(
    val file: File,
    val pixels: Pixels,
    val stored: Size?,
    val reading: Reading,
    val isDeep: Boolean,
) {
    val shown: Bitmap = pixels.toShownBitmap()

    /** It as another model wants it, too; the same if that is how it was read. */
    fun readAs(reading: Reading): Photo = if (reading == this.reading) this else read(file, reading)

    companion object {
        /** Share of this process's memory for a photo; the rest is for the app itself. */
        private const val SHARE_OF_HEAP = 0.7

        /**
         * The photo in a file, in sRGB or in the range that a model wants, turned as its Exif tag
         * says.
         *
         * @throws DemoException it is no picture.
         * @throws PictureException it is a damaged one of 16 bits.
         */
        fun read(file: File, reading: Reading): Photo {
            val deep = file.inputStream().use { stream ->
                DeepPng.read(stream, reading) {
                    Geometry.sampleSize(it.width, it.height, heapBytes)
                }
            } ?: return readShallow(file, reading)
            val size = Size(deep.pixels.height, deep.pixels.width)
            val stored = deep.stored.takeIf { it != size }
            return Photo(file, deep.pixels, stored, reading, isDeep = true)
        }

        private val heapBytes: Long
            get() = (Runtime.getRuntime().maxMemory() * SHARE_OF_HEAP).toLong()

        /** A photo by the phone's own decoder, which gives 8 bits. */
        private fun readShallow(file: File, reading: Reading): Photo {
            val options = BitmapFactory.Options().apply { inJustDecodeBounds = true }
            BitmapFactory.decodeFile(file.path, options)
            if (options.outWidth <= 0 || options.outHeight <= 0) {
                throw DemoException(Message(R.string.not_a_photo))
            }
            val sample = Geometry.sampleSize(options.outWidth, options.outHeight, heapBytes)
            val orientation = orientation(file)
            val pixels = Geometry.upright(reading.of(decoded(file, sample)), orientation)
            val turned = orientation >= ExifInterface.ORIENTATION_TRANSPOSE
            val stored = if (turned) {
                Size(height = options.outWidth, width = options.outHeight)
            } else {
                Size(height = options.outHeight, width = options.outWidth)
            }
            return Photo(file, pixels, stored.takeIf { sample > 1 }, reading, isDeep = false)
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
