// A double, for tests alone: the part of TensorFlow Lite's Java API that InterpreterGenerator uses.
// LiteRT's C library has none of TensorFlow Lite's C functions, so it stands on LiteRT's as well.
// Signatures are those of org.tensorflow:tensorflow-lite 2.16.1.
package org.tensorflow.lite

import dev.tfi2i.inference.FLOAT32
import dev.tfi2i.inference.HostBuffer
import dev.tfi2i.inference.HostEnvironment
import dev.tfi2i.inference.HostModel
import dev.tfi2i.inference.StatusException
import java.nio.ByteBuffer

private const val CPU = 1

interface Tensor {
    fun index(): Int
}

class Interpreter(model: ByteBuffer, options: Options) : AutoCloseable {
    open class Options {
        internal var threads: Int? = null

        fun setNumThreads(numThreads: Int): Options = apply { threads = numThreads }
    }

    private val bytes = model.also { require(it.isDirect) { "Model ByteBuffer should be direct." } }
    private val environment = HostEnvironment()
    private val host = try {
        explained { HostModel.ofBytes(environment, bytes, CPU, options.threads) }
    } catch (error: IllegalArgumentException) {
        environment.close()
        throw error
    }
    private var taken = emptyMap<String, HostBuffer>()
    private var made = emptyMap<String, HostBuffer>()
    private var prepared: String? = null

    init {
        try {
            allocateTensors() // as the real one does, which some files of free size do not survive
        } catch (error: IllegalArgumentException) {
            close()
            throw error
        }
    }

    private class Numbered(private val number: Int) : Tensor {
        override fun index(): Int = number
    }

    fun getSignatureInputs(signatureKey: String): Array<String> =
        explained { host.inputNames(host.index(signatureKey)).toTypedArray() }

    fun getInputTensorCount(): Int = explained { host.inputNames(0).size }

    fun getInputTensor(inputIndex: Int): Tensor = Numbered(inputIndex)

    fun getInputTensorFromSignature(inputName: String, signatureKey: String): Tensor =
        Numbered(explained { host.inputNames(host.index(signatureKey)).indexOf(inputName) })

    fun resizeInput(idx: Int, dims: IntArray) {
        explained { host.resize(0, idx, dims) }
        release()
    }

    fun allocateTensors() = prepare(host.keys.first())

    fun runSignature(inputs: Map<String, Any>, outputs: Map<String, Any>, signatureKey: String) {
        prepare(signatureKey)
        for ((name, value) in inputs) taken.named(name).fill(value as ByteBuffer)
        explained {
            host.run(host.index(signatureKey), taken.values.toList(), made.values.toList())
        }
        for ((name, value) in outputs) made.named(name).copyTo(value as ByteBuffer)
    }

    override fun close() {
        release()
        host.close()
        environment.close()
    }

    private fun prepare(key: String) {
        if (prepared == key) return
        release()
        explained {
            taken = host.inputs(host.index(key))
            made = host.outputs(host.index(key))
        }
        prepared = key
    }

    private fun release() {
        (taken.values + made.values).forEach(HostBuffer::close)
        taken = emptyMap()
        made = emptyMap()
        prepared = null
    }

    private fun Map<String, HostBuffer>.named(name: String): HostBuffer =
        requireNotNull(this[name]) { "Input error: there is no tensor $name." }

    private val HostBuffer.bytes: Int get() = elements * if (elementType == FLOAT32) 4 else 1

    private fun HostBuffer.fill(source: ByteBuffer) {
        require(source.capacity() == bytes) { "$bytes bytes, not ${source.capacity()}." }
        val content = ByteArray(bytes).also { source.duplicate().rewind().get(it) }
        explained { write { it.write(0, content, 0, bytes) } }
    }

    private fun HostBuffer.copyTo(target: ByteBuffer) {
        require(target.remaining() >= bytes) { "$bytes bytes, not ${target.remaining()}." }
        target.put(explained { read { it.getByteArray(0, bytes) } })
    }

    private inline fun <T> explained(call: () -> T): T =
        try {
            call()
        } catch (error: StatusException) {
            throw IllegalArgumentException(error.message, error)
        }
}
