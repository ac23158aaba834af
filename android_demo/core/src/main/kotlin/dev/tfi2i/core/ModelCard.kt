package dev.tfi2i.core

import java.nio.ByteBuffer
import java.security.MessageDigest
import org.json.JSONException
import org.json.JSONTokener

/** What the pictures of a file are stored as. */
enum class Io { FLOAT, UINT8 }

/** An input or output of a signature; -1 in [shape]: free. */
data class Tensor(val name: String, val shape: List<Int>, val dtype: String, val meaning: String)

/** One way to call a file; the picture (1, H, W, 3) comes first among [inputs] and [outputs]. */
data class Signature(val name: String, val inputs: List<Tensor>, val outputs: List<Tensor>) {
    /** Of the pictures it takes; null: any whose sides are multiples of [ModelCard.multiple]. */
    val size: Size?
        get() {
            val (_, height, width) = inputs.first().shape
            return if (height == FREE || width == FREE) null else Size(height, width)
        }
}

internal const val FREE = -1

/** How a file's pictures compare with those of the model it was made from; dB null: infinite. */
data class Agreement(
    val reference: String,
    val pictures: Int,
    val psnrDbMean: Double?,
    val psnrDbWorst: Double?,
    val ssim: Double,
    val bias: List<Double>,
    val maxLevel: Double,
    val passed: Boolean,
    val accepted: Boolean,
)

/**
 * The sidecar of a .tflite file, NAME.json beside it, as far as a phone needs it.
 *
 * The fields are described in `sidecar.schema.json`.
 */
data class ModelCard(
    val name: String,
    val file: String,
    val sha256: String,
    val sizeBytes: Long,
    val format: String,
    val system: String,
    val direction: String,
    val source: String,
    val target: String,
    val data: String,
    val run: String,
    val step: Int,
    val imageSize: Int,
    val multiple: Int,
    val io: Io,
    val signatures: List<Signature>,
    val agreement: Agreement?,
    val licence: String?,
    val created: String,
    val warnings: List<String>,
) {
    /** The sizes of pictures it takes, the smallest first, but for [isFree]. */
    val sizes: List<Size>
        get() = signatures.mapNotNull { it.size }.sortedBy { it.height.toLong() * it.width }

    /** Whether it takes pictures of any size whose sides are multiples of [multiple]. */
    val isFree: Boolean get() = signatures.any { it.size == null }

    /** Names of the inputs besides the picture, such as a style. */
    val extraInputs: List<String> get() = signatures.first().inputs.drop(1).map { it.name }

    /**
     * Refuses another file than the one this card is of.
     *
     * @param model from its position to its limit; both stay as they are.
     * @throws ModelCardException it has another size or SHA-256.
     */
    fun verify(model: ByteBuffer) {
        val size = model.remaining()
        if (size.toLong() != sizeBytes) {
            throw ModelCardException(
                "$file has $size bytes and its sidecar says $sizeBytes; export the model again.",
            )
        }
        val digest = MessageDigest.getInstance("SHA-256")
        digest.update(model.duplicate())
        if (digest.digest().joinToString("") { "%02x".format(it) } != sha256) {
            throw ModelCardException(
                "$file has another SHA-256 than its sidecar says; export the model again.",
            )
        }
    }

    companion object {
        /** The newest format of sidecars that this class reads. */
        const val SCHEMA = 1

        /** Characters of a sidecar; they have about 4,000. */
        private const val LONGEST = 1_000_000

        /**
         * The card of a sidecar's text; keys it does not know are left out.
         *
         * @throws ModelCardException it is damaged, of a newer tfi2i, or not of a .tflite file.
         */
        fun parse(json: String): ModelCard = modelCard(SidecarField(parsed(json)))

        private fun parsed(json: String): Any? {
            if (json.length > LONGEST) {
                throw ModelCardException("This has over $LONGEST characters, which no sidecar has.")
            }
            val tokener = JSONTokener(json)
            return try {
                tokener.nextValue().also {
                    if (tokener.nextClean() != END) throw damaged("more follows it")
                }
            } catch (error: JSONException) {
                throw ModelCardException(
                    "This is not JSON (${error.message}); export the model again.",
                )
            } catch (_: StackOverflowError) { // Android's reader follows any nesting
                throw damaged("it is nested too deep")
            }
        }

        private const val END = '\u0000'
    }
}

/** A sidecar that cannot be used; the message is a sentence for people. */
class ModelCardException(message: String) : Exception(message)
