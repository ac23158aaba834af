package dev.tfi2i.inference

import dev.tfi2i.core.Sidecar
import dev.tfi2i.core.SidecarException
import dev.tfi2i.core.Signature
import dev.tfi2i.core.Size
import dev.tfi2i.core.Tensor
import java.io.File
import java.nio.ByteBuffer
import java.nio.channels.FileChannel

/** Threads of the CPU unless told: as many as most phones have fast cores. */
const val DEFAULT_THREADS = 4

/** The one way to call a file that is asked for. */
internal class Call(val signature: Signature, val size: Size) {
    /** The name of the picture that goes in; null: it is a sampler. */
    val input: String? get() = if (signature.takesPicture) signature.inputs.first().name else null

    /** The inputs besides the picture. */
    val beside: List<Tensor> get() = signature.beside
    val output: String get() = signature.outputs.first().name

    /** Numbers in the picture that goes in; of a sampler 0. */
    val taken: Int get() = signature.takenChannels * size.height * size.width

    /** Numbers in the picture that comes out. */
    val made: Int get() = signature.madeChannels * size.height * size.width
}

/**
 * The way to call a file for pictures of a [size].
 *
 * @param size null: the smallest that the file takes; of a file of free size that of its training.
 */
internal fun callFor(sidecar: Sidecar, size: Size?): Call {
    val wanted = size ?: sidecar.sizes.firstOrNull() ?: Size(sidecar.imageSize, sidecar.imageSize)
    val signature = sidecar.signatures.firstOrNull { it.size == wanted }
        ?: sidecar.signatures.firstOrNull {
            it.size == null && wanted.isMultipleOf(sidecar.multiple)
        }
        ?: throw InferenceException(
            "${sidecar.file} takes pictures of ${sidecar.takes()}, not of ${wanted.inWords()}.",
        )
    return Call(signature, wanted)
}

/**
 * The bytes of a [model] that is the one its [sidecar] is of.
 *
 * LiteRT trusts what it reads: damage that a SHA-256 would show can end the process.
 */
internal fun verified(model: File, sidecar: Sidecar): ByteBuffer {
    val bytes = explained("${sidecar.file} cannot be read") {
        FileChannel.open(model.toPath()).use { it.map(FileChannel.MapMode.READ_ONLY, 0, it.size()) }
    }
    try {
        sidecar.verify(bytes)
    } catch (error: SidecarException) {
        throw InferenceException(error.message.orEmpty(), error)
    }
    if (bytes.limit() < 8 || IDENTIFIER.indices.any { bytes.get(4 + it) != IDENTIFIER[it] }) {
        throw InferenceException("${sidecar.file} is not a .tflite file; export the model again.")
    }
    return bytes
}

internal fun Size.inWords() = "$height x $width"

private fun Sidecar.takes(): String {
    val fixed = sizes.map { it.inWords() }
    val free = if (isFree) listOf("sides that are multiples of $multiple") else emptyList()
    return (fixed + free).joinToString(" or ")
}

private fun Size.isMultipleOf(multiple: Int) =
    height > 0 && width > 0 && height % multiple == 0 && width % multiple == 0

/** In bytes 4 to 8 of every .tflite file. */
private val IDENTIFIER = "TFL3".toByteArray()
