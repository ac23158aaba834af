package dev.tfi2i.inference

import dev.tfi2i.core.ModelCard

/** What runs one model for pictures of one size. */
internal interface Engine : AutoCloseable {
    /** The translation of a picture (1, H, W, 3), not checked. */
    fun run(image: FloatArray): FloatArray
}

/**
 * An engine and all that is checked before and after it runs.
 *
 * One thread at a time is inside: native memory must not be given back while it is in use.
 */
internal class Session(val card: ModelCard, val call: Call, private val engine: Engine) :
    AutoCloseable {
    private var closed = false

    @Synchronized
    fun run(image: FloatArray): FloatArray {
        if (closed) throw InferenceException("${card.file} is closed.")
        if (image.size != call.values) {
            throw InferenceException(
                "${card.file} takes pictures of ${call.size.inWords()}, which have " +
                    "${call.values} values, not ${image.size}.",
            )
        }
        val answer = explained("${card.file} fails") { engine.run(image) }
        if (answer.size != call.values) {
            throw InferenceException(
                "${card.file} gives ${answer.size} values for a picture of " +
                    "${call.size.inWords()}; export it again.",
            )
        }
        return answer
    }

    @Synchronized
    override fun close() {
        if (!closed) engine.close()
        closed = true
    }

    companion object {
        /**
         * A session that has run once: first runs are slow, and what cannot be run shows now.
         *
         * @throws InferenceException the engine cannot be made or run, or its answer is no picture.
         */
        fun tried(card: ModelCard, call: Call, make: () -> Engine): Session {
            val session = Session(card, call, explained("${card.file} cannot be run", make))
            try {
                val everyLevel = FloatArray(call.values) { (it % LEVELS).toFloat() }
                // A GPU may take a model and yet overflow on it.
                if (!session.run(everyLevel).all(Float::isFinite)) {
                    throw InferenceException("${card.file} gives values that are not finite.")
                }
            } catch (error: Throwable) {
                session.close()
                throw error
            }
            return session
        }

        private const val LEVELS = 256
    }
}
