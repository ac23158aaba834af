package dev.tfi2i.core

/** Ways to make of a photo of any size a picture of the one size that a generator takes. */
enum class Fit {
    /** Scaled until it fits, and its translation scaled back: all at once, with less detail. */
    WHOLE,

    /** As [WHOLE], of the largest part in the middle that has the generator's shape; the rest
     * stays as it is, or is made grey where the translation is. */
    CROP,

    /** Piece by piece as it is: all detail, but each piece may get colours of its own. */
    TILES,
}

/**
 * Translates photos of any size; used by one thread at a time.
 *
 * @param inputs as of [Generator.run], the same for all tiles.
 */
class Translator(
    private val generator: Generator,
    private val inputs: Map<String, FloatArray> = emptyMap(),
) {
    private val size = Size(generator.height, generator.width)
    private val taken = generator.sidecar.takenChannels
    private val made = generator.sidecar.madeChannels

    /**
     * The translation of a photo, of its size; null: cancelled.
     *
     * @param progress is told the part that is done, up to 1.
     * @param cancelled is asked before each run of the generator, and ends the translation.
     * @throws TranslationException the model's answer is no picture.
     */
    fun translate(
        photo: Pixels,
        fit: Fit,
        progress: (Float) -> Unit = {},
        cancelled: () -> Boolean = { false },
    ): Pixels? = when (fit) {
        Fit.WHOLE -> whole(photo, progress, cancelled)
        Fit.CROP -> cropped(photo, progress, cancelled)
        Fit.TILES -> tiled(photo, progress, cancelled)
    }

    /**
     * The picture that a sampler makes of the inputs.
     *
     * @throws TranslationException the model's answer is no picture.
     */
    fun sample(): Pixels = ImageTensor.unpack(checked(NO_PICTURE), size.width, size.height, made)

    private fun whole(photo: Pixels, progress: (Float) -> Unit, cancelled: () -> Boolean): Pixels? {
        val fitted = Geometry.resize(photo, Geometry.fittedSize(photo, size))
        val answer = once(fitted, cancelled) ?: return null
        val result = Geometry.resize(answer, Size(photo.height, photo.width))
        progress(1f)
        return result
    }

    private fun cropped(
        photo: Pixels,
        progress: (Float) -> Unit,
        cancelled: () -> Boolean,
    ): Pixels? {
        val area = Geometry.cropSize(photo, size)
        val left = (photo.width - area.width) / 2
        val top = (photo.height - area.height) / 2
        val fitted = Geometry.resize(Geometry.crop(photo, left, top, area), size)
        val answer = once(fitted, cancelled) ?: return null
        val translated = Geometry.resize(answer, area)
        val argb = if (made == GREY) photo.inGrey() else photo.argb.copyOf()
        for (row in 0 until area.height) {
            val from = row * area.width
            val to = (top + row) * photo.width + left
            translated.argb.copyInto(argb, to, from, from + area.width)
        }
        progress(1f)
        return Pixels(photo.width, photo.height, argb)
    }

    private fun Pixels.inGrey() = IntArray(argb.size) { opaque(grey(argb[it])) }

    private fun tiled(photo: Pixels, progress: (Float) -> Unit, cancelled: () -> Boolean): Pixels? {
        if (photo.height > size.height || photo.width > size.width) {
            val multiple = generator.sidecar.multiple
            val tiles = Tiler.tiles(photo.height, photo.width, size, multiple = multiple)
            return Tiler.blended(photo, tiles, taken, made, ::checked, progress, cancelled)
        }
        val result = once(photo, cancelled) ?: return null
        progress(1f)
        return result
    }

    /** The translation of a picture no larger than the generator's, padded and cropped back. */
    private fun once(picture: Pixels, cancelled: () -> Boolean): Pixels? {
        if (cancelled()) return null
        val image = ImageTensor.pack(Geometry.padded(picture, size), taken)
        val answer = ImageTensor.unpack(checked(image), size.width, size.height, made)
        return Geometry.crop(answer, 0, 0, Size(picture.height, picture.width))
    }

    private fun checked(image: FloatArray): FloatArray {
        val answer = generator.run(image, inputs)
        val wanted = made * size.height * size.width
        if (answer.size != wanted) {
            throw TranslationException(
                "The model gives ${answer.size} values for a picture of $wanted; export it again.",
            )
        }
        return answer
    }
}
