package dev.tfi2i.inference

import com.sun.jna.Library
import com.sun.jna.Native
import com.sun.jna.Pointer
import com.sun.jna.ptr.PointerByReference
import java.util.concurrent.atomic.AtomicInteger

/** LiteRT 2.3's C functions, as far as the doubles need them; each status is 0 if all went well. */
@Suppress("FunctionName")
interface LiteRtLibrary : Library {
    fun LiteRtCreateEnvironment(options: Int, option: Pointer?, made: Place): Int
    fun LiteRtDestroyEnvironment(environment: Pointer)

    fun LiteRtCreateModelFromFile(environment: Pointer, path: String, made: Place): Int
    fun LiteRtCreateModelFromBuffer(
        environment: Pointer,
        bytes: Pointer,
        size: Long,
        made: Place,
    ): Int
    fun LiteRtDestroyModel(model: Pointer)

    fun LiteRtCreateOptions(made: Place): Int
    fun LiteRtDestroyOptions(options: Pointer)
    fun LiteRtSetOptionsHardwareAccelerators(options: Pointer, bits: Int): Int
    fun LiteRtCreateOpaqueOptions(kind: String, text: Pointer, free: Pointer, made: Place): Int
    fun LiteRtAddOpaqueOptions(options: Pointer, opaque: Pointer): Int

    fun LiteRtCreateCompiledModel(
        environment: Pointer,
        model: Pointer,
        options: Pointer,
        made: Place,
    ): Int
    fun LiteRtDestroyCompiledModel(compiled: Pointer)
    fun LiteRtCompiledModelResizeInputTensor(
        compiled: Pointer,
        signature: Long,
        input: Long,
        shape: IntArray,
        rank: Long,
    ): Int
    fun LiteRtGetCompiledModelInputTensorLayout(
        compiled: Pointer,
        signature: Long,
        input: Long,
        layout: Pointer,
    ): Int
    fun LiteRtGetCompiledModelOutputTensorLayouts(
        compiled: Pointer,
        signature: Long,
        outputs: Long,
        layouts: Pointer,
        allocate: Boolean,
    ): Int
    fun LiteRtGetCompiledModelInputBufferRequirements(
        compiled: Pointer,
        signature: Long,
        input: Long,
        found: Place,
    ): Int
    fun LiteRtGetCompiledModelOutputBufferRequirements(
        compiled: Pointer,
        signature: Long,
        output: Long,
        found: Place,
    ): Int
    fun LiteRtRunCompiledModel(
        compiled: Pointer,
        signature: Long,
        inputs: Long,
        input: Array<Pointer>,
        outputs: Long,
        output: Array<Pointer>,
    ): Int

    fun LiteRtGetNumModelSignatures(model: Pointer, found: Place): Int
    fun LiteRtGetModelSignature(model: Pointer, index: Long, found: Place): Int
    fun LiteRtGetSignatureKey(signature: Pointer, found: Place): Int
    fun LiteRtGetNumSignatureInputs(signature: Pointer, found: Place): Int
    fun LiteRtGetNumSignatureOutputs(signature: Pointer, found: Place): Int
    fun LiteRtGetSignatureInputName(signature: Pointer, index: Long, found: Place): Int
    fun LiteRtGetSignatureOutputName(signature: Pointer, index: Long, found: Place): Int
    fun LiteRtGetSignatureInputTensorByIndex(signature: Pointer, index: Long, found: Place): Int
    fun LiteRtGetSignatureOutputTensorByIndex(signature: Pointer, index: Long, found: Place): Int
    fun LiteRtGetRankedTensorType(tensor: Pointer, type: Pointer): Int

    fun LiteRtCreateManagedTensorBufferFromRequirements(
        environment: Pointer,
        type: Pointer,
        requirements: Pointer,
        made: Place,
    ): Int
    fun LiteRtLockTensorBuffer(buffer: Pointer, address: Place, mode: Int): Int
    fun LiteRtUnlockTensorBuffer(buffer: Pointer): Int
    fun LiteRtDestroyTensorBuffer(buffer: Pointer)
}

/** A place for what a function makes or finds. */
typealias Place = PointerByReference

/** A call of LiteRT that failed. */
class StatusException(status: Int, call: String) : Exception("$call gives status $status")

/** LiteRT of the computer the tests run on. */
internal val library: LiteRtLibrary by lazy {
    silence()
    Native.load(Models.library, LiteRtLibrary::class.java)
}

@Suppress("FunctionName")
private interface Unix : Library {
    fun creat(path: String, mode: Int): Int
    fun dup2(from: Int, to: Int): Int
}

private const val OWNERS = 384 // rw-------

/** LiteRT tells of every step on stderr, which becomes litert.log beside the models. */
private fun silence() {
    val unix = Native.load("c", Unix::class.java)
    unix.dup2(unix.creat(Models.log, OWNERS), 2)
}

/** The number of things in native memory: none are left after closing everything. */
internal val alive = AtomicInteger()

internal fun require(status: Int, call: String) {
    if (status != 0) throw StatusException(status, call)
}

internal fun found(call: String, give: (Place) -> Int): Pointer {
    val place = Place()
    require(give(place), call)
    return place.value
}

/** Something native, to be given back by [destroy]. */
internal class Handle(private val pointer: Pointer, private val destroy: (Pointer) -> Unit) :
    AutoCloseable {
    private var closed = false

    init {
        alive.incrementAndGet()
    }

    fun pointer(): Pointer {
        check(!closed) { "The handle has been destroyed." }
        return pointer
    }

    override fun close() {
        if (closed) return
        closed = true
        destroy(pointer)
        alive.decrementAndGet()
    }
}
