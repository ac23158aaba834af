package dev.tfi2i.inference

import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.Environment
import com.google.ai.edge.litert.TensorBuffer
import dev.tfi2i.core.Generator
import dev.tfi2i.core.Io
import dev.tfi2i.core.ModelCard
import dev.tfi2i.core.Size
import java.io.File

/** A file run by LiteRT's CompiledModel: by the GPU if that takes the whole of it, else the CPU. */
class CompiledModelGenerator private constructor(
    private val session: Session,
    override val accelerator: String,
    override val fallbackReason: String?,
) : Generator {
    override val card: ModelCard get() = session.card
    override val height: Int get() = session.call.size.height
    override val width: Int get() = session.call.size.width

    /** @throws InferenceException the image has another size, the model fails, or it is closed. */
    override fun run(image: FloatArray): FloatArray = session.run(image)

    override fun close() = session.close()

    companion object {
        /**
         * Opens a model for pictures of one size and runs it once, as first runs are slow.
         *
         * @param model a file: what is an asset has to be copied to one before.
         * @param size one that the file takes; null: the smallest.
         * @param useGpu try the GPU first; [fallbackReason] tells why it was not to be had.
         * @param threads of the CPU.
         * @throws InferenceException it cannot be read, is not what its card says, takes no such
         *   size, or is for an [InterpreterGenerator]; or no accelerator can run it.
         */
        fun open(
            model: File,
            card: ModelCard,
            size: Size? = null,
            useGpu: Boolean = true,
            threads: Int = DEFAULT_THREADS,
        ): CompiledModelGenerator {
            require(threads > 0) { "threads is $threads; give at least 1." }
            val call = callFor(card, size)
            refuseWhatTensorBuffersCannotHold(card, call)
            verified(model, card)
            val name = call.signature.name
            var refusal: String? = null
            if (useGpu) {
                try {
                    val session = Session.tried(card, call) { CompiledEngine(model, name, onGpu()) }
                    return CompiledModelGenerator(session, "GPU", null)
                } catch (error: InferenceException) {
                    refusal = "The GPU is not used: ${error.message}"
                }
            }
            val session = Session.tried(card, call) { CompiledEngine(model, name, onCpu(threads)) }
            return CompiledModelGenerator(session, "CPU", refusal)
        }

        private fun onGpu() = CompiledModel.Options(Accelerator.GPU)

        private fun onCpu(threads: Int) = CompiledModel.Options(Accelerator.CPU).apply {
            cpuOptions = CompiledModel.CpuOptions(threads, null, null)
        }

        private fun refuseWhatTensorBuffersCannotHold(card: ModelCard, call: Call) {
            val reason = when {
                card.io == Io.UINT8 -> "takes uint8 pictures"
                call.signature.size == null -> "takes pictures of any size"
                else -> return
            }
            throw InferenceException(
                "${card.file} $reason, which LiteRT's CompiledModel cannot give it; use the " +
                    "InterpreterGenerator.",
            )
        }
    }
}

/** A compiled model with its buffers, made once. */
private class CompiledEngine(
    model: File,
    private val signature: String,
    options: CompiledModel.Options,
) : Engine {
    private val opened = ArrayDeque<AutoCloseable>() // the last first, as they have to be closed
    private val compiled: CompiledModel
    private val inputs: List<TensorBuffer>
    private val outputs: List<TensorBuffer>

    init {
        try {
            // Its own: the one that CompiledModel makes by itself is lost if the GPU refuses.
            val environment = Environment.create().also(opened::addFirst)
            compiled = CompiledModel.create(model.path, options, environment).also(opened::addFirst)
            inputs = compiled.createInputBuffers(signature).onEach(opened::addFirst)
            outputs = compiled.createOutputBuffers(signature).onEach(opened::addFirst)
        } catch (error: Throwable) {
            close()
            throw error
        }
    }

    override fun run(image: FloatArray): FloatArray {
        inputs.single().writeFloat(image)
        compiled.run(inputs, outputs, signature)
        return outputs.single().readFloat() // waits, where a GPU still computes
    }

    override fun close() = opened.forEach(AutoCloseable::close)
}
