package dev.tfi2i.core

/** A translator of pictures of one size, loaded and ready; used by one thread at a time. */
interface Generator : AutoCloseable {
    val sidecar: Sidecar
    val height: Int
    val width: Int

    /** The device that computes, in words for people, such as GPU. */
    val accelerator: String

    /** Reason why a faster accelerator is not used; null: none was refused. */
    val fallbackReason: String?

    /**
     * The translation (1, [height], [width], [Sidecar.madeChannels]) of a picture (1, [height],
     * [width], [Sidecar.takenChannels]).
     *
     * RGB or grey, 0..255 in and out, whatever type the file itself takes and gives; what comes out
     * is not rounded and may be beyond 0..255. [image] may be written to again after the call; to a
     * sampler [NO_PICTURE] is given.
     *
     * @param inputs values of the inputs besides the picture, by name; those of others are the
     *   first of their choices.
     */
    fun run(image: FloatArray, inputs: Map<String, FloatArray> = emptyMap()): FloatArray
}

/** The picture that a sampler takes. */
val NO_PICTURE = FloatArray(0)

/** A translation that failed; the message is a sentence for people. */
class TranslationException(message: String) : Exception(message)
