package dev.tfi2i.core

import java.nio.ByteBuffer
import java.security.MessageDigest
import org.json.JSONException
import org.json.JSONTokener

/** The type in which a file takes and gives pictures. */
enum class Io { FLOAT, UINT8 }

/** A value for an input, its numbers in the order of the input's shape. */
data class Preset(val name: String, val values: List<Float>)

/** An input or output of a signature; -1 in [shape]: free. */
data class Tensor(
    val name: String,
    val shape: List<Int>,
    val dtype: String,
    val meaning: String,
    val kind: String? = null,
    val names: List<String> = emptyList(),
    val exclusive: Boolean = true,
    val distribution: String? = null,
    val presets: List<Preset> = emptyList(),
    val encoder: String? = null,
    val range: List<Float> = emptyList(),
    val isCropped: Boolean = false,
) {
    /** Tells that it is a picture besides the first one. */
    val isPicture: Boolean get() = kind == "picture"

    /** Values to choose from: the names of an exclusive label, otherwise the presets. */
    val choices: List<Preset>
        get() {
            val isOneOf = kind == "label" && exclusive && names.isNotEmpty()
            if (!isOneOf || shape.drop(1) != listOf(names.size)) return presets
            return names.mapIndexed { i, name ->
                Preset(name, List(names.size) { if (it == i) 1f else 0f })
            }
        }
}

/**
 * One way to call a file; the picture, (1, H, W, 3) or grey (1, H, W, 1), comes first among [inputs]
 * and [outputs].
 *
 * @property takesPicture false: a sampler's, without a picture among [inputs].
 */
data class Signature(
    val name: String,
    val inputs: List<Tensor>,
    val outputs: List<Tensor>,
    val takesPicture: Boolean = true,
) {
    /** The inputs besides the picture, such as a style. */
    val beside: List<Tensor> get() = if (takesPicture) inputs.drop(1) else inputs

    /**
     * Size of the pictures it takes, or that a sampler makes; null: any whose sides are multiples
     * of [Sidecar.multiple].
     */
    val size: Size?
        get() {
            val (_, height, width) = (if (takesPicture) inputs else outputs).first().shape
            return if (height == FREE || width == FREE) null else Size(height, width)
        }

    /** Channels of the picture that goes in, 1 for grey; of a sampler 0. */
    val takenChannels: Int get() = if (takesPicture) inputs.first().shape.last() else 0

    /** Channels of the picture that comes out, 1 for grey. */
    val madeChannels: Int get() = outputs.first().shape.last()
}

internal const val FREE = -1

/** Agreement of a file's pictures with those of the model it was made from; dB null: infinite. */
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
data class Sidecar(
    val name: String,
    val file: String,
    val sha256: String,
    val sizeBytes: Long,
    val format: String,
    val system: String,
    val direction: String,
    val source: String?,
    val target: String?,
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
    /** Numbers in picture files that are black and white to it; null: the files' own colours. */
    val valueRange: ValueRange? = null,
    /** Numbers that black and white of its pictures stand for; null: colours. */
    val targetRange: ValueRange? = null,
) {
    /** The sizes of pictures it takes, the smallest first, but for [isFree]. */
    val sizes: List<Size>
        get() = signatures.mapNotNull { it.size }.sortedBy { it.height.toLong() * it.width }

    /** Tells that it takes pictures of any size whose sides are multiples of [multiple]. */
    val isFree: Boolean get() = signatures.any { it.size == null }

    /** Tells that it makes pictures of no picture. */
    val isSampler: Boolean get() = source == null

    /** The way in which it reads photos. */
    val reading: Reading get() = reading(valueRange, takenChannels)

    /** The way in which it reads pictures besides, which are such as it makes. */
    fun reading(input: String): Reading {
        val channels = extraInputs.find { it.name == input }?.shape?.last()
        return reading(targetRange, channels)
    }

    private fun reading(range: ValueRange?, channels: Int?): Reading =
        if (range == null) Reading() else Reading(range, channels == GREY)

    /** Those of each [Signature]. */
    val takenChannels: Int get() = signatures.first().takenChannels

    /** Those of each [Signature]. */
    val madeChannels: Int get() = signatures.first().madeChannels

    /** The inputs besides the picture, such as a style. */
    val extraInputs: List<Tensor> get() = signatures.first().beside

    /** The names of the inputs that are pictures besides the first one. */
    val secondPictures: List<String> get() = extraInputs.filter { it.isPicture }.map { it.name }

    /**
     * The values of the inputs besides the picture, by name.
     *
     * @param chosen by an input's name the index among its choices; of others it is the first.
     * @param pictures by an input's name what is given for one that is a picture; those that are
     *   missing here are missing in the result.
     */
    fun values(
        chosen: Map<String, Int>,
        pictures: Map<String, Pixels> = emptyMap(),
    ): Map<String, FloatArray> = buildMap {
        for (input in extraInputs) {
            val picture = pictures[input.name]
            if (!input.isPicture) {
                val choice = input.choices.getOrNull(chosen[input.name] ?: 0)
                put(input.name, (choice ?: input.choices.first()).values.toFloatArray())
            } else if (picture != null) {
                put(input.name, ImageTensor.second(picture, input))
            }
        }
    }

    /**
     * Refuses another file than the one this sidecar is of.
     *
     * @param model from its position to its limit; both stay as they are.
     * @throws SidecarException it has another size or SHA-256.
     */
    fun verify(model: ByteBuffer) {
        val size = model.remaining()
        if (size.toLong() != sizeBytes) {
            throw SidecarException(
                "$file has $size bytes and its sidecar says $sizeBytes; export the model again.",
            )
        }
        val digest = MessageDigest.getInstance("SHA-256")
        digest.update(model.duplicate())
        if (digest.digest().joinToString("") { "%02x".format(it) } != sha256) {
            throw SidecarException(
                "$file has another SHA-256 than its sidecar says; export the model again.",
            )
        }
    }

    companion object {
        /** The newest format of sidecars that this class reads; it reads the one before, too. */
        const val SCHEMA = 2

        /** Characters of a sidecar; they have about 4,000. */
        private const val LONGEST = 1_000_000

        /**
         * Reads a sidecar's text; keys it does not know are left out.
         *
         * @throws SidecarException it is damaged, of a newer tfi2i, or of a model that this app
         *   cannot run.
         */
        fun parse(json: String): Sidecar = read(SidecarField(parsed(json)))

        private fun parsed(json: String): Any? {
            if (json.length > LONGEST) {
                throw SidecarException("This has over $LONGEST characters, which no sidecar has.")
            }
            val tokener = JSONTokener(json)
            return try {
                tokener.nextValue().also {
                    if (tokener.nextClean() != END) throw damaged("more follows it")
                }
            } catch (error: JSONException) {
                throw SidecarException(
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
class SidecarException(message: String) : Exception(message)
