package dev.tfi2i.inference

import dev.tfi2i.core.ImageTensor
import dev.tfi2i.core.Pixels
import dev.tfi2i.core.Sidecar
import dev.tfi2i.core.Size
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assume.assumeTrue
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** One way to call one file, with what Python makes of a picture by it. */
class Case(
    val model: File,
    val sidecar: Sidecar,
    val size: Size,
    picture: File?,
    val values: FloatArray,
    /** The values as pixels: whole numbers from 0 to 255. */
    val levels: IntArray,
    /** Tells that the size the file states can be computed; of a free file it may be 1 x 1. */
    val prepared: Boolean,
    /** The values of the inputs besides the picture. */
    val inputs: Map<String, FloatArray>,
) {
    /** The picture in colour, as the model takes it; of a sampler none. */
    val image: FloatArray = picture?.let(::levels).let { levels ->
        if (levels == null) return@let FloatArray(0)
        val pixels = pixels(levels, size.width, size.height)
        ImageTensor.pack(pixels, sidecar.takenChannels)
    }

    /** Makes of a generator's values what the app makes of them; of grey once what it repeats. */
    fun levelsOf(values: FloatArray): IntArray {
        val channels = sidecar.madeChannels
        val argb = ImageTensor.unpack(values, size.width, size.height, channels).argb
        return IntArray(channels * argb.size) {
            argb[it / channels] shr 16 - 8 * (it % channels) and 0xFF
        }
    }

    override fun toString() = "${sidecar.name} ${size.inWords()}"
}

/** The files of tests/export/android_models.py, in the folder that TFI2I_ANDROID_MODELS names. */
object Models {
    private val folder: File? = System.getenv("TFI2I_ANDROID_MODELS")?.let(::File)
    private val manifest by lazy { JSONObject(File(folder, "manifest.json").readText()) }

    /** The path of LiteRT's C library. */
    val library: String get() = manifest.getString("library")

    /** The file that its messages go to. */
    val log: String get() = File(folder, "litert.log").path

    val cases: List<Case> by lazy {
        manifest.getJSONArray("cases").map { case ->
            val sidecar = Sidecar.parse(file(case, "sidecar").readText())
            Case(
                model = File(folder, sidecar.file),
                sidecar = sidecar,
                size = Size(case.getInt("height"), case.getInt("width")),
                picture = if (case.isNull("picture")) null else file(case, "picture"),
                values = floats(file(case, "values").readBytes()),
                levels = levels(file(case, "pixels")),
                prepared = case.getBoolean("prepared"),
                inputs = sidecar.values(
                    case.getJSONObject("chosen").run { keySet().associateWith(::getInt) },
                    case.optJSONObject("pictures")?.run {
                        keySet().associateWith { pixels(file(this, it)) }
                    }.orEmpty(),
                ),
            )
        }
    }

    private val said by lazy { println("TFI2I_ANDROID_MODELS names no folder: left out.") }

    /** Leaves a test out where there are no models to run it on. */
    fun needed() {
        if (folder == null) said
        assumeTrue(folder != null)
    }

    /** The first of a file. */
    fun case(name: String): Case = cases.first { it.sidecar.name == name }

    /** A square picture of a file of its pixels. */
    private fun pixels(file: File): Pixels {
        val levels = levels(file)
        val side = kotlin.math.sqrt(levels.size / 3.0).toInt()
        return pixels(levels, side, side)
    }

    private fun file(case: JSONObject, key: String) = File(folder, case.getString(key))

    private fun floats(bytes: ByteArray): FloatArray {
        val values = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
        return FloatArray(values.remaining()).also { values.get(it) }
    }

    private fun <T> JSONArray.map(make: (JSONObject) -> T): List<T> =
        (0 until length()).map { make(getJSONObject(it)) }
}

/** Pixels of RGB levels. */
private fun pixels(levels: IntArray, width: Int, height: Int): Pixels {
    val values = FloatArray(levels.size) { levels[it].toFloat() }
    return ImageTensor.unpack(values, width, height)
}

private fun levels(file: File): IntArray =
    file.readBytes().let { bytes -> IntArray(bytes.size) { bytes[it].toUByte().toInt() } }
