package dev.tfi2i.inference

import dev.tfi2i.core.Sidecar

/** A runtime with one model for pictures of one size. */
internal interface Engine : AutoCloseable {
    /** The translation of a picture (1, H, W, C), not checked; [inputs] are all the others. */
    fun run(image: FloatArray, inputs: Map<String, FloatArray>): FloatArray
}

/**
 * An engine and all that is checked before and after it runs.
 *
 * One thread at a time is inside: native memory must not be given back while it is in use.
 */
internal class Session(val sidecar: Sidecar, val call: Call, private val engine: Engine) :
    AutoCloseable {
    private var closed = false

    @Synchronized
    fun run(image: FloatArray, inputs: Map<String, FloatArray> = emptyMap()): FloatArray {
        if (closed) throw InferenceException("${sidecar.file} is closed.")
        if (image.size != call.taken) {
            throw InferenceException(
                if (call.input == null) {
                    "${sidecar.file} makes pictures of none; give it no picture."
                } else {
                    "${sidecar.file} takes pictures of ${call.size.inWords()}, which have " +
                        "${call.taken} values, not ${image.size}."
                },
            )
        }
        val given = valuesOf(inputs)
        val answer = explained("${sidecar.file} fails") { engine.run(image, given) }
        if (answer.size != call.made) {
            throw InferenceException(
                "${sidecar.file} gives ${answer.size} values for a picture of " +
                    "${call.size.inWords()}; export it again.",
            )
        }
        return answer
    }

    /** The values of all inputs besides the picture, of which [inputs] has some. */
    private fun valuesOf(inputs: Map<String, FloatArray>): Map<String, FloatArray> {
        val unknown = inputs.keys - call.beside.map { it.name }.toSet()
        if (unknown.isNotEmpty()) {
            throw InferenceException("${sidecar.file} takes no ${unknown.joinToString()}.")
        }
        return call.beside.associate { input ->
            val values = inputs[input.name] ?: input.choices.firstOrNull()?.values?.toFloatArray()
                ?: throw InferenceException("${sidecar.file} takes ${input.name}; give values.")
            val count = input.shape.fold(1, Int::times)
            if (values.size != count || !values.all(Float::isFinite)) {
                throw InferenceException(
                    "${sidecar.file} takes $count finite numbers for ${input.name}, not " +
                        "${values.toList()}.",
                )
            }
            input.name to values
        }
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
        fun tried(sidecar: Sidecar, call: Call, make: () -> Engine): Session {
            val session = Session(sidecar, call, explained("${sidecar.file} cannot be run", make))
            try {
                val everyLevel = FloatArray(call.taken) { (it % LEVELS).toFloat() }
                val grey = call.beside.filter { it.isPicture }
                    .associate { it.name to FloatArray(it.shape.fold(1, Int::times)) }
                // A GPU may take a model and yet overflow on it.
                if (!session.run(everyLevel, grey).all(Float::isFinite)) {
                    throw InferenceException("${sidecar.file} gives values that are not finite.")
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
