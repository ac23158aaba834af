package dev.tfi2i.core

import java.security.MessageDigest
import java.util.Base64
import org.json.JSONArray
import org.json.JSONObject

/** The vectors that tests/android_demo/test_android_core.py writes. */
internal val vectors: JSONObject by lazy {
    JSONObject(Pixels::class.java.getResource("/vectors.json").readText())
}

internal fun JSONObject.objects(name: String): List<JSONObject> =
    getJSONArray(name).map { it as JSONObject }

internal fun JSONObject.whole(name: String): List<Int> = getJSONArray(name).whole()

internal fun JSONArray.whole(): List<Int> = map { it as Int }

internal fun JSONArray.floats(): FloatArray =
    map { (it as Number).toDouble().toFloat() }.toFloatArray()

internal fun JSONObject.size(name: String): Size =
    whole(name).let { (height, width) -> Size(height, width) }

internal fun JSONObject.rgb(): List<Int> =
    Base64.getDecoder().decode(getString("rgb")).map { it.toInt() and 0xFF }

/** Row by row and pixel by pixel, as Python has a picture. */
internal fun rgb(pixels: Pixels): List<Int> =
    pixels.argb.flatMap { listOf(red(it), green(it), blue(it)) }

internal fun sha256(pixels: Pixels): String {
    val bytes = rgb(pixels).map { it.toByte() }.toByteArray()
    return MessageDigest.getInstance("SHA-256").digest(bytes).joinToString("") { "%02x".format(it) }
}

internal fun picture(height: Int, width: Int): Pixels {
    val argb = IntArray(height * width) {
        val y = it / width
        val x = it % width
        val red = 37 * y + 11 * x * x + 5 * x * y
        opaque(red and 0xFF, red + 71 and 0xFF, red + 142 and 0xFF)
    }
    return Pixels(width, height, argb)
}

/** Answers with [answer] of the picture; counts its runs. */
internal class StandIn(
    override val height: Int,
    override val width: Int,
    multiple: Int = 4,
    private val answer: (FloatArray) -> FloatArray,
) : Generator {
    override val sidecar = Sidecar.parse(vectors.getString("sidecar")).copy(multiple = multiple)
    override val accelerator = "CPU"
    override val fallbackReason: String? = null
    var runs = 0
    val given = mutableListOf<Map<String, FloatArray>>()

    override fun run(image: FloatArray, inputs: Map<String, FloatArray>): FloatArray {
        check(image.size == height * width * CHANNELS)
        given += inputs
        runs++
        return answer(image)
    }

    override fun close() = Unit
}

internal fun copying(height: Int, width: Int) = StandIn(height, width) { it.copyOf() }

/** Its answers depend on where in its tile a pixel is, as in tests/android_demo/test_android_core.py. */
internal fun placing(height: Int, width: Int, multiple: Int) = StandIn(height, width, multiple) {
    FloatArray(it.size) { at ->
        val y = at / CHANNELS / width
        val x = at / CHANNELS % width
        ((3 * it[at].toInt() + 5 * y + 7 * x) % 256).toFloat()
    }
}
