package dev.tfi2i.inference

import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.Environment
import com.google.ai.edge.litert.TensorBuffer
import dev.tfi2i.core.Generator
import dev.tfi2i.core.Io
import dev.tfi2i.core.Sidecar
import dev.tfi2i.core.Size
import java.io.File

/** A file run by LiteRT's CompiledModel: by the GPU if that takes the whole of it, else the CPU. */
class CompiledModelGenerator private constructor(
    private val session: Session,
    override val accelerator: String,
    override val fallbackReason: String?,
) : Generator {
    override val sidecar: Sidecar get() = session.sidecar
    override val height: Int get() = session.call.size.height
    override val width: Int get() = session.call.size.width

    /**
     * @throws InferenceException the image has another size, there is no such input or its values
     *   do not fit, the model fails, or it is closed.
     */
    override fun run(image: FloatArray, inputs: Map<String, FloatArray>): FloatArray =
        session.run(image, inputs)

    override fun close() = session.close()

    companion object {
        /**
         * Opens a model for pictures of one size and runs it once, as first runs are slow.
         *
         * @param model a file: what is an asset has to be copied to one before.
         * @param size one that the file takes; null: the smallest.
         * @param useGpu try the GPU first; [fallbackReason] tells why it was not to be had.
         * @param threads of the CPU.
         * @throws InferenceException it cannot be read, is not what its sidecar says, takes no such
         *   size, or is for an [InterpreterGenerator]; or no accelerator can run it.
         */
        fun open(
            model: File,
            sidecar: Sidecar,
            size: Size? = null,
            useGpu: Boolean = true,
            threads: Int = DEFAULT_THREADS,
        ): CompiledModelGenerator {
            require(threads > 0) { "threads is $threads; give at least 1." }
            val call = callFor(sidecar, size)
            refuseWhatTensorBuffersCannotHold(sidecar, call)
            verified(model, sidecar)
            var refusal: String? = null
            if (useGpu) {
                try {
                    val session =
                        Session.tried(sidecar, call) { CompiledEngine(model, call, onGpu()) }
                    return CompiledModelGenerator(session, "GPU", null)
                } catch (error: InferenceException) {
                    refusal = "The GPU is not used: ${error.message}"
                }
            }
            val session =
                Session.tried(sidecar, call) { CompiledEngine(model, call, onCpu(threads)) }
            return CompiledModelGenerator(session, "CPU", refusal)
        }

        private fun onGpu() = CompiledModel.Options(Accelerator.GPU)

        private fun onCpu(threads: Int) = CompiledModel.Options(Accelerator.CPU).apply {
            cpuOptions = CompiledModel.CpuOptions(threads, null, null)
        }

        private fun refuseWhatTensorBuffersCannotHold(sidecar: Sidecar, call: Call) {
            val reason = when {
                sidecar.io == Io.UINT8 -> "takes uint8 pictures"
                call.signature.size == null -> "takes pictures of any size"
                else -> return
            }
            throw InferenceException(
                "${sidecar.file} $reason, which LiteRT's CompiledModel cannot give it; use the " +
                    "InterpreterGenerator.",
            )
        }
    }
}

/** A compiled model with its buffers, made once. */
private class CompiledEngine(
    model: File,
    private val call: Call,
    options: CompiledModel.Options,
) : Engine {
    private val opened = ArrayDeque<AutoCloseable>() // the last first, as they have to be closed
    private val compiled: CompiledModel
    private val inputs: Map<String, TensorBuffer>
    private val output: TensorBuffer

    init {
        val signature = call.signature.name
        try {
            // Its own: the one that CompiledModel makes by itself is lost if the GPU refuses.
            val environment = Environment.create().also(opened::addFirst)
            compiled = CompiledModel.create(model.path, options, environment).also(opened::addFirst)
            inputs = call.signature.inputs.associate {
                it.name to compiled.createInputBuffer(it.name, signature).also(opened::addFirst)
            }
            output = compiled.createOutputBuffer(call.output, signature).also(opened::addFirst)
        } catch (error: Throwable) {
            close()
            throw error
        }
    }

    override fun run(image: FloatArray, inputs: Map<String, FloatArray>): FloatArray {
        for ((name, values) in inputs + listOfNotNull(call.input).associateWith { image }) {
            this.inputs.getValue(name).writeFloat(values)
        }
        compiled.run(this.inputs, mapOf(call.output to output), call.signature.name)
        return output.readFloat() // waits, where a GPU still computes
    }

    override fun close() = opened.forEach(AutoCloseable::close)
}
