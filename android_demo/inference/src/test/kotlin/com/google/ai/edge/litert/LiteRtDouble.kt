// A double, for tests alone: the part of LiteRT's Kotlin API that CompiledModelGenerator uses, over
// the C library of the same runtime, so that the app's own class runs on this computer.
// Signatures are those of com.google.ai.edge.litert:litert 2.3.0.
@file:Suppress("unused", "MemberVisibilityCanBePrivate")

package com.google.ai.edge.litert

import dev.tfi2i.inference.FLOAT32
import dev.tfi2i.inference.HostBuffer
import dev.tfi2i.inference.HostEnvironment
import dev.tfi2i.inference.HostModel
import dev.tfi2i.inference.INT8
import dev.tfi2i.inference.StatusException

class LiteRtException(message: String) : Exception(message)

enum class Accelerator(val value: Int) { NONE(0), CPU(1), GPU(2), NPU(3) }

private val BITS = mapOf(Accelerator.CPU to 1, Accelerator.GPU to 2, Accelerator.NPU to 4)

/** A GPU for tests: what it makes of the CPU's answers; null: there is none, as is true here. */
var pretendedGpu: ((FloatArray) -> FloatArray)? = null

private inline fun <T> explained(call: () -> T): T =
    try {
        call()
    } catch (error: StatusException) {
        throw LiteRtException(error.message.orEmpty())
    }

abstract class JniHandle internal constructor() : AutoCloseable {
    protected abstract fun destroy()

    final override fun close() = destroy()
}

class Environment private constructor(internal val host: HostEnvironment) : JniHandle() {
    override fun destroy() = host.close()

    enum class Option(val value: Int) { CompilerPluginLibraryDir(0), DispatchLibraryDir(1) }

    companion object {
        @JvmStatic
        @JvmOverloads
        fun create(options: Map<Option, String> = mapOf()): Environment {
            require(options.isEmpty()) { "The double knows no options." }
            return Environment(explained { HostEnvironment() })
        }
    }
}

class TensorBuffer internal constructor(
    internal val host: HostBuffer,
    private val distort: (FloatArray) -> FloatArray,
) : JniHandle() {
    fun writeFloat(data: FloatArray) {
        require(host.elementType, FLOAT32)
        if (data.size > host.elements) throw LiteRtException("The data is too long.")
        explained { host.write { it.write(0, data, 0, data.size) } }
    }

    fun readFloat(): FloatArray {
        require(host.elementType, FLOAT32)
        return distort(explained { host.read { it.getFloatArray(0, host.elements) } })
    }

    fun writeInt8(data: ByteArray) {
        require(host.elementType, INT8)
        if (data.size > host.elements) throw LiteRtException("The data is too long.")
        explained { host.write { it.write(0, data, 0, data.size) } }
    }

    fun readInt8(): ByteArray {
        require(host.elementType, INT8)
        return explained { host.read { it.getByteArray(0, host.elements) } }
    }

    override fun destroy() = host.close()

    private fun require(type: Int, asked: Int) {
        if (type != asked) throw LiteRtException("The elements are of type $type, not $asked.")
    }
}

class CompiledModel private constructor(
    private val host: HostModel,
    private val owned: Environment?,
    private val distort: (FloatArray) -> FloatArray,
) : JniHandle() {
    data class CpuOptions(
        val numThreads: Int? = null,
        val xnnPackFlags: Int? = null,
        val xnnPackWeightCachePath: String? = null,
    )

    class Options(internal val accelerators: Set<Accelerator>) {
        constructor(vararg accelerators: Accelerator) : this(setOf(*accelerators))

        var cpuOptions: CpuOptions? = null

        companion object {
            @JvmStatic val CPU = Options(Accelerator.CPU)
        }
    }

    fun createInputBuffer(inputName: String, signature: String = ""): TensorBuffer =
        only(inputName) { host.inputs(host.index(signature)) }

    fun createOutputBuffer(outputName: String, signature: String = ""): TensorBuffer =
        only(outputName) { host.outputs(host.index(signature)) }

    fun run(
        inputs: Map<String, TensorBuffer>,
        outputs: Map<String, TensorBuffer>,
        signature: String = "",
    ) {
        val index = host.index(signature)
        val given = host.inputNames(index).map { inputs.getValue(it).host }
        val made = host.outputNames(index).map { outputs.getValue(it).host }
        explained { host.run(index, given, made) }
    }

    private fun only(name: String, make: () -> Map<String, HostBuffer>): TensorBuffer {
        val buffers = explained(make)
        for ((other, buffer) in buffers) if (other != name) buffer.close()
        val found = buffers[name] ?: throw LiteRtException("There is no tensor $name.")
        return TensorBuffer(found, distort)
    }

    override fun destroy() {
        host.close()
        owned?.close()
    }

    companion object {
        @JvmStatic
        @JvmOverloads
        fun create(
            filePath: String,
            options: Options = Options.CPU,
            optionalEnv: Environment? = null,
        ): CompiledModel {
            val environment = optionalEnv ?: Environment.create()
            val distort = pretendedGpu?.takeIf { Accelerator.GPU in options.accelerators }
            val accelerators = if (distort == null) options.accelerators else setOf(Accelerator.CPU)
            val bits = accelerators.sumOf { BITS.getValue(it) }
            val host = explained {
                HostModel.ofFile(environment.host, filePath, bits, options.cpuOptions?.numThreads)
            }
            val owned = environment.takeIf { optionalEnv == null }
            return CompiledModel(host, owned, distort ?: { it })
        }
    }
}
