package dev.tfi2i.inference

import dev.tfi2i.core.Generator
import dev.tfi2i.core.Io
import dev.tfi2i.core.Sidecar
import dev.tfi2i.core.Size
import org.tensorflow.lite.Interpreter
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.round

/** A file run by TensorFlow Lite's Interpreter, by the CPU: of any type and size. */
class InterpreterGenerator private constructor(private val session: Session) : Generator {
    override val sidecar: Sidecar get() = session.sidecar
    override val height: Int get() = session.call.size.height
    override val width: Int get() = session.call.size.width
    override val accelerator: String get() = "CPU"
    override val fallbackReason: String? get() = null

    /**
     * @throws InferenceException the image has another size or is NaN somewhere, there is no such
     *   input or its values do not fit, the model fails, or it is closed.
     */
    override fun run(image: FloatArray, inputs: Map<String, FloatArray>): FloatArray =
        session.run(image, inputs)

    override fun close() = session.close()

    companion object {
        /**
         * Opens a model for pictures of one size and runs it once, as first runs are slow.
         *
         * @param model a file: what is an asset has to be copied to one before.
         * @param size one that the file takes; null: the smallest, or of a file of free size that
         *   of its training.
         * @param threads of the CPU.
         * @throws InferenceException it cannot be read, is not what its sidecar says, takes no such
         *   size or cannot be run.
         */
        fun open(
            model: File,
            sidecar: Sidecar,
            size: Size? = null,
            threads: Int = DEFAULT_THREADS,
        ): InterpreterGenerator {
            require(threads > 0) { "threads is $threads; give at least 1." }
            val call = callFor(sidecar, size)
            val bytes = verified(model, sidecar)
            return InterpreterGenerator(
                Session.tried(sidecar, call) {
                    InterpreterEngine(bytes, sidecar.io, call, threads)
                },
            )
        }
    }
}

/**
 * An interpreter with its buffers, made once.
 *
 * Nothing here moves a buffer's position: Android 8 lacks the methods that compilers take for it.
 */
private class InterpreterEngine(
    model: ByteBuffer,
    private val io: Io,
    private val call: Call,
    threads: Int,
) : Engine {
    private val input = buffer(call.taken)
    private val beside = call.beside.associate { it.name to floats(it.shape.fold(1, Int::times)) }
    private val output = buffer(call.made)
    private val interpreter = Interpreter(model, Interpreter.Options().setNumThreads(threads))

    init {
        try {
            // An input that nobody names would be run with whatever is in its memory.
            val inputs = interpreter.getSignatureInputs(call.signature.name).toSet()
            if (inputs != call.signature.inputs.map { it.name }.toSet()) {
                throw IllegalArgumentException("it takes ${inputs.sorted().joinToString()}")
            }
            if (call.signature.size == null) { // then it is the file's only one
                val (height, width) = call.size
                val image = placeOf(checkNotNull(call.input)) // samplers have a size
                val shape = intArrayOf(1, height, width, call.signature.takenChannels)
                interpreter.resizeInput(image, shape)
                interpreter.allocateTensors()
            }
        } catch (error: Throwable) {
            close()
            throw error
        }
    }

    override fun run(image: FloatArray, inputs: Map<String, FloatArray>): FloatArray {
        if (io == Io.UINT8) putLevels(image) else input.asFloatBuffer().put(image)
        for ((name, values) in inputs) beside.getValue(name).asFloatBuffer().put(values)
        val outputs = mapOf(call.output to output.duplicate())
        val taken = beside + listOfNotNull(call.input).associateWith { input }
        interpreter.runSignature(taken, outputs, call.signature.name)
        if (io == Io.UINT8) return FloatArray(call.made) { output.get(it).toUByte().toFloat() }
        return FloatArray(call.made).also { output.asFloatBuffer().get(it) }
    }

    override fun close() = interpreter.close()

    /** The index of an input among the interpreter's, whose order is not the signature's. */
    private fun placeOf(name: String): Int {
        val tensor = interpreter.getInputTensorFromSignature(name, call.signature.name).index()
        return (0 until interpreter.getInputTensorCount())
            .first { interpreter.getInputTensor(it).index() == tensor }
    }

    private fun buffer(count: Int): ByteBuffer =
        if (io == Io.UINT8) bytes(count) else floats(count)

    private fun floats(count: Int) = bytes(Float.SIZE_BYTES * count)

    private fun bytes(count: Int) =
        ByteBuffer.allocateDirect(count).order(ByteOrder.nativeOrder())

    private fun putLevels(image: FloatArray) {
        for ((i, value) in image.withIndex()) {
            if (value.isNaN()) throw InferenceException("The picture has values that are NaN.")
            val level = round(value).coerceIn(0f, LARGEST_LEVEL)
            input.put(i, level.toInt().toByte())
        }
    }
}

private const val LARGEST_LEVEL = 255f
