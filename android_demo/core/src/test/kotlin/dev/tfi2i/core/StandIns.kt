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

/** Of the bytes that Python has of a picture of 1 or 3 channels. */
internal fun sha256(pixels: Pixels, channels: Int): String {
    val levels = if (channels == GREY) pixels.argb.map(::red) else rgb(pixels)
    val bytes = levels.map { it.toByte() }.toByteArray()
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

/** Answers with [answer] of the picture, from [taken] to [made] channels; counts its runs. */
internal class StandIn(
    override val height: Int,
    override val width: Int,
    multiple: Int = 4,
    taken: Int = CHANNELS,
    made: Int = CHANNELS,
    private val answer: (FloatArray) -> FloatArray,
) : Generator {
    override val sidecar = Sidecar.parse(
        JSONObject(vectors.getString("sidecar")).put("multiple", multiple).apply {
            for (signature in objects("signatures")) {
                signature.objects("inputs").first().getJSONArray("shape").put(3, taken)
                signature.objects("outputs").first().getJSONArray("shape").put(3, made)
            }
        }.toString(),
    )
    override val accelerator = "CPU"
    override val fallbackReason: String? = null
    var runs = 0
    val given = mutableListOf<Map<String, FloatArray>>()

    override fun run(image: FloatArray, inputs: Map<String, FloatArray>): FloatArray {
        check(image.size == height * width * sidecar.takenChannels)
        given += inputs
        runs++
        return answer(image)
    }

    override fun close() = Unit
}

internal fun copying(height: Int, width: Int) = StandIn(height, width) { it.copyOf() }

/** Its answers depend on where in its tile a pixel is, as in tests/android_demo/test_android_core.py. */
internal fun placing(height: Int, width: Int, multiple: Int, taken: Int, made: Int) =
    StandIn(height, width, multiple, taken, made) {
        FloatArray(height * width * made) { at ->
            val (pixel, channel) = at / made to at % made
            val scale = if (taken < made) 3 + 2 * channel else 3
            val level = it[pixel * taken + minOf(channel, taken - 1)].toInt()
            ((scale * level + 5 * (pixel / width) + 7 * (pixel % width)) % 256).toFloat()
        }
    }
