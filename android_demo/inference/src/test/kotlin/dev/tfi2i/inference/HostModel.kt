package dev.tfi2i.inference

import com.sun.jna.Memory
import com.sun.jna.Native
import com.sun.jna.NativeLibrary
import com.sun.jna.Pointer
import java.nio.ByteBuffer

private const val RANKED_TENSOR_TYPE = 72L // bytes: the element type, then the layout
private const val LAYOUT_AT = 4L
private const val LAYOUT = 68 // bytes: the rank in 7 bits, 8 sides, 8 strides
private const val READ = 0
private const val WRITE = 1

internal class HostEnvironment : AutoCloseable {
    private val handle = Handle(
        found("environment") { library.LiteRtCreateEnvironment(0, null, it) },
        library::LiteRtDestroyEnvironment,
    )

    val pointer: Pointer get() = handle.pointer()

    override fun close() = handle.close()
}

/** A model compiled by LiteRT's C library on this computer, on which both doubles stand. */
internal class HostModel(
    private val environment: HostEnvironment,
    accelerators: Int,
    threads: Int?,
    loaded: Pointer,
) : AutoCloseable {
    private val model = Handle(loaded, library::LiteRtDestroyModel)
    private val compiled: Handle

    init {
        val options = found("options", library::LiteRtCreateOptions)
        try {
            require(
                library.LiteRtSetOptionsHardwareAccelerators(options, accelerators),
                "accelerators",
            )
            if (threads != null) {
                require(library.LiteRtAddOpaqueOptions(options, cpuOptions(threads)), "threads")
            }
            val made = found("compilation") {
                library.LiteRtCreateCompiledModel(environment.pointer, model.pointer(), options, it)
            }
            compiled = Handle(made, library::LiteRtDestroyCompiledModel)
        } catch (error: StatusException) {
            model.close()
            throw error
        } finally {
            library.LiteRtDestroyOptions(options)
        }
    }

    val keys: List<String>
        get() = List(number { library.LiteRtGetNumModelSignatures(model.pointer(), it) }) { i ->
            found("key") { library.LiteRtGetSignatureKey(signature(i), it) }.getString(0)
        }

    fun index(key: String): Int = keys.indexOf(key).also {
        require(it >= 0) { "There is no signature $key, only $keys." }
    }

    fun resize(signature: Int, input: Int, shape: IntArray) = require(
        library.LiteRtCompiledModelResizeInputTensor(
            live(), signature.toLong(), input.toLong(), shape, shape.size.toLong(),
        ),
        "resizing",
    )

    fun inputNames(signature: Int): List<String> {
        val pointer = signature(signature)
        return List(number { library.LiteRtGetNumSignatureInputs(pointer, it) }) { i ->
            found("name") { library.LiteRtGetSignatureInputName(pointer, i.toLong(), it) }
                .getString(0)
        }
    }

    fun outputNames(signature: Int): List<String> {
        val pointer = signature(signature)
        return List(number { library.LiteRtGetNumSignatureOutputs(pointer, it) }) { i ->
            found("name") { library.LiteRtGetSignatureOutputName(pointer, i.toLong(), it) }
                .getString(0)
        }
    }

    /** By their names new buffers for the inputs of a signature. */
    fun inputs(signature: Int): Map<String, HostBuffer> {
        val pointer = signature(signature)
        val index = signature.toLong()
        return inputNames(signature).withIndex().associate { (place, name) ->
            val i = place.toLong()
            val tensor = found("input") {
                library.LiteRtGetSignatureInputTensorByIndex(pointer, i, it)
            }
            val type = type(tensor)
            val layout = type.share(LAYOUT_AT)
            require(
                library.LiteRtGetCompiledModelInputTensorLayout(live(), index, i, layout),
                "layout",
            )
            val needs = found("requirements") {
                library.LiteRtGetCompiledModelInputBufferRequirements(live(), index, i, it)
            }
            name to HostBuffer(environment, type, needs)
        }
    }

    /** By their names new buffers for the outputs of a signature; its tensors are allocated. */
    fun outputs(signature: Int): Map<String, HostBuffer> {
        val pointer = signature(signature)
        val index = signature.toLong()
        val names = outputNames(signature)
        val number = names.size.toLong()
        val layouts = Memory(LAYOUT * number)
        require(
            library.LiteRtGetCompiledModelOutputTensorLayouts(live(), index, number, layouts, true),
            "allocation",
        )
        return names.withIndex().associate { (place, name) ->
            val i = place.toLong()
            val tensor = found("output") {
                library.LiteRtGetSignatureOutputTensorByIndex(pointer, i, it)
            }
            val type = type(tensor)
            type.write(LAYOUT_AT, layouts.getByteArray(i * LAYOUT, LAYOUT), 0, LAYOUT)
            val needs = found("requirements") {
                library.LiteRtGetCompiledModelOutputBufferRequirements(live(), index, i, it)
            }
            name to HostBuffer(environment, type, needs)
        }
    }

    fun run(signature: Int, inputs: List<HostBuffer>, outputs: List<HostBuffer>) = require(
        library.LiteRtRunCompiledModel(
            live(), signature.toLong(),
            inputs.size.toLong(), Array(inputs.size) { inputs[it].pointer },
            outputs.size.toLong(), Array(outputs.size) { outputs[it].pointer },
        ),
        "run",
    )

    override fun close() {
        compiled.close()
        model.close()
    }

    private fun live(): Pointer = compiled.pointer()

    private fun signature(index: Int): Pointer =
        found("signature") { library.LiteRtGetModelSignature(model.pointer(), index.toLong(), it) }

    private fun type(tensor: Pointer): Memory {
        val type = Memory(RANKED_TENSOR_TYPE)
        require(library.LiteRtGetRankedTensorType(tensor, type), "type")
        return type
    }

    /** LiteRT reads them as TOML, and frees them. */
    private fun cpuOptions(threads: Int): Pointer {
        val text = "num_threads = $threads\n"
        val content = Pointer(Native.malloc(text.length + 1L)).apply { setString(0, text) }
        val free = NativeLibrary.getProcess().getFunction("free")
        return found("CPU options") {
            library.LiteRtCreateOpaqueOptions("xnnpack", content, free, it)
        }
    }

    companion object {
        fun ofFile(
            environment: HostEnvironment,
            path: String,
            accelerators: Int,
            threads: Int?,
        ): HostModel {
            val model = found("model") {
                library.LiteRtCreateModelFromFile(environment.pointer, path, it)
            }
            return HostModel(environment, accelerators, threads, model)
        }

        /** The bytes have to stay. */
        fun ofBytes(
            environment: HostEnvironment,
            bytes: ByteBuffer,
            accelerators: Int,
            threads: Int?,
        ): HostModel {
            val address = Native.getDirectBufferPointer(bytes)
            val size = bytes.remaining().toLong()
            val model = found("model") {
                library.LiteRtCreateModelFromBuffer(environment.pointer, address, size, it)
            }
            return HostModel(environment, accelerators, threads, model)
        }
    }
}

private fun number(give: (Place) -> Int): Int =
    Pointer.nativeValue(found("number", give)).toInt()

/** Native memory for one tensor. */
internal class HostBuffer(environment: HostEnvironment, type: Memory, requirements: Pointer) :
    AutoCloseable {
    val elementType: Int = type.getInt(0)
    val elements: Int = (0L until (type.getInt(LAYOUT_AT) and 0x7F)).fold(1) { n, axis ->
        n * type.getInt(LAYOUT_AT + 4 + 4 * axis)
    }
    private val handle = Handle(
        found("buffer") {
            library.LiteRtCreateManagedTensorBufferFromRequirements(
                environment.pointer,
                type,
                requirements,
                it,
            )
        },
        library::LiteRtDestroyTensorBuffer,
    )

    val pointer: Pointer get() = handle.pointer()

    fun <T> read(take: (Pointer) -> T): T = locked(READ, take)

    fun write(give: (Pointer) -> Unit) = locked(WRITE, give)

    override fun close() = handle.close()

    private fun <T> locked(mode: Int, use: (Pointer) -> T): T {
        val address = found("lock") { library.LiteRtLockTensorBuffer(pointer, it, mode) }
        try {
            return use(address)
        } finally {
            require(library.LiteRtUnlockTensorBuffer(pointer), "unlock")
        }
    }
}

internal const val FLOAT32 = 1
internal const val INT8 = 9
