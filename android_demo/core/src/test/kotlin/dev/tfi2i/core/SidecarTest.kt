package dev.tfi2i.core

import java.nio.ByteBuffer
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.json.JSONArray
import org.json.JSONObject

class SidecarTest {
    private val text = vectors.getString("sidecar")

    private fun refusal(json: String): String? =
        assertFailsWith<SidecarException> { Sidecar.parse(json) }.message

    private fun refusalOf(change: JSONObject.() -> Unit): String? =
        refusal(JSONObject(text).apply(change).toString())

    @Test
    fun `a sidecar that Python wrote is read`() {
        val sidecar = Sidecar.parse(text)
        assertEquals("day2dusk-int8.tflite", sidecar.file)
        assertEquals("int8", sidecar.format)
        assertEquals("NICEGAN", sidecar.system)
        assertEquals("day2dusk", sidecar.direction)
        assertEquals(listOf("day", "dusk"), listOf(sidecar.source, sidecar.target))
        assertEquals(listOf(1600, 64, 4), listOf(sidecar.step, sidecar.imageSize, sidecar.multiple))
        assertEquals(Io.UINT8, sidecar.io)
        assertEquals(listOf(Size(64, 64), Size(128, 128)), sidecar.sizes)
        assertEquals("translate_128x128", sidecar.signatures.first().name)
        assertEquals("translation", sidecar.signatures.first().outputs.single().name)
        assertEquals(46.25, sidecar.agreement?.psnrDbMean)
        assertNull(sidecar.agreement?.psnrDbWorst)
        assertEquals(listOf(0.25, -0.5, 0.0), sidecar.agreement?.bias)
        assertEquals("MIT", sidecar.licence)
        assertEquals(listOf("Colours differ – a little."), sidecar.warnings)
        val (style, label, planes) = sidecar.extraInputs
        assertEquals(listOf("style", "normal"), listOf(style.kind, style.distribution))
        assertEquals("style.tflite", style.encoder)
        val calm = Preset("calm", listOf(0.5f, -1.25f))
        assertEquals(listOf(calm, Preset("wild", listOf(2f, 0.001f))), style.presets)
        assertEquals(style.presets, style.choices)
        assertEquals(listOf("day", "dusk", "1920s"), label.choices.map { it.name })
        assertEquals(listOf(0f, 1f, 0f), label.choices[1].values)
        assertEquals(listOf("x", "y"), planes.names)
        assertEquals(listOf("both"), planes.choices.map { it.name })
        assertEquals(listOf(1f, 0f, 0f, 1f, 0f, 0f, 1f, 1f), planes.choices.single().values)
        assertEquals(listOf(3, 3), listOf(sidecar.takenChannels, sidecar.madeChannels))
        assertNull(sidecar.valueRange)
        assertNull(sidecar.targetRange)
    }

    private fun ofChannels(taken: Int, made: Int): String = JSONObject(text).apply {
        for (signature in objects("signatures")) {
            signature.objects("inputs").first().getJSONArray("shape").put(3, taken)
            signature.objects("outputs").first().getJSONArray("shape").put(3, made)
        }
    }.toString()

    @Test
    fun `pictures may be grey on either side, and other channels are refused in a sentence`() {
        for ((taken, made) in listOf(1 to 1, 1 to 3, 3 to 1)) {
            val sidecar = Sidecar.parse(ofChannels(taken, made))
            assertEquals(taken to made, sidecar.takenChannels to sidecar.madeChannels)
        }
        val alone = "channels, and this app shows grey and RGB alone; use tfi2i translate."
        assertEquals("The model takes pictures of 2 $alone", refusal(ofChannels(2, 3)))
        assertEquals("The model makes pictures of 4 $alone", refusal(ofChannels(1, 4)))
        assertTrue("has to be a uint8 picture" in refusal(ofChannels(5, 3)).orEmpty())
        val unlike = refusalOf {
            objects("signatures").first().objects("inputs").first().getJSONArray("shape").put(3, 1)
        }
        assertTrue("has to be of the same channels" in unlike.orEmpty(), unlike)
    }

    @Test
    fun `the numbers that are black and white in files of more bits are read where they are`() {
        val json = JSONObject(text).put("value_range", JSONArray(listOf(-200, 4095.3)))
        json.put("target_range", JSONArray(listOf(0, 1)))
        val sidecar = Sidecar.parse(json.toString())
        assertEquals(ValueRange(-200.0, 4095.3), sidecar.valueRange)
        assertEquals(Reading(sidecar.valueRange), sidecar.reading)
        assertEquals(Reading(ValueRange(0.0, 1.0)), sidecar.reading("style"))
        val grey = JSONObject(ofChannels(1, 3)).put("value_range", JSONArray(listOf(0, 9)))
        val reading = Sidecar.parse(grey.toString()).reading
        assertEquals(Reading(ValueRange(0.0, 9.0), isGrey = true), reading)
        for (key in listOf("value_range", "target_range")) {
            json.remove(key)
            for (bad in listOf("[1]", "[5, 5]", "[5, 4]", "[1, true]", "[1, 2, 3]")) {
                val wrong = refusalOf { put(key, JSONArray(bad)) }.orEmpty()
                assertTrue("$key" in wrong && "has to be" in wrong, wrong)
            }
        }
        assertEquals(Reading(), Sidecar.parse(json.toString()).reading)
    }

    @Test
    fun `what is null there is null here`() {
        val json = JSONObject(text)
        for (key in listOf("agreement", "licence")) json.put(key, JSONObject.NULL)
        val sidecar = Sidecar.parse(json.toString())
        assertNull(sidecar.agreement)
        assertNull(sidecar.licence)
    }

    @Test
    fun `a file of free size has no sizes`() {
        val json = JSONObject(text)
        for (signature in json.objects("signatures")) {
            for (end in listOf("inputs", "outputs")) {
                signature.objects(end).first().put("shape", JSONArray(listOf(1, -1, -1, 3)))
            }
        }
        val sidecar = Sidecar.parse(json.toString())
        assertEquals(emptyList(), sidecar.sizes)
        assertTrue(sidecar.isFree)
    }

    @Test
    fun `the values of inputs are those that are chosen, or the first`() {
        val sidecar = Sidecar.parse(text)
        val first = sidecar.values(emptyMap())
        assertEquals(listOf("style", "label", "planes"), first.keys.toList())
        assertContentEquals(floatArrayOf(0.5f, -1.25f), first["style"])
        val chosen = sidecar.values(mapOf("style" to 1, "label" to 2, "planes" to 9))
        assertContentEquals(floatArrayOf(2f, 0.001f), chosen["style"])
        assertContentEquals(floatArrayOf(0f, 0f, 1f), chosen["label"])
        assertContentEquals(first["planes"], chosen["planes"])
    }

    private fun refusalOfInput(change: JSONObject.() -> Unit): String = refusalOf {
        for (signature in objects("signatures")) signature.objects("inputs")[1].change()
    }.orEmpty()

    @Test
    fun `an input for which there is nothing to choose is refused by name`() {
        assertEquals(
            "The model takes style besides the picture, and this has no presets for it; export " +
                "it with --bake, or again with this version of tfi2i.",
            refusalOfInput { put("presets", JSONArray()) },
        )
        val flat = refusalOfInput { put("presets", JSONArray()).put("kind", "picture") }
        assertTrue("inputs[1]" in flat && "has to be a picture (1, H, W, 3)" in flat, flat)
        val sampler = refusalOf { getJSONObject("domains").put("source", JSONObject.NULL) }
        assertTrue("inputs[0]" in sampler.orEmpty(), sampler)
    }

    private fun changed(change: JSONObject.() -> Unit): Sidecar = Sidecar.parse(
        JSONObject(text).apply { objects("signatures").forEach(change) }.toString(),
    )

    @Test
    fun `a sampler has the size of its pictures and takes its inputs alone`() {
        val json = JSONObject(text)
        json.getJSONObject("domains").put("source", JSONObject.NULL)
        for (signature in json.objects("signatures")) signature.getJSONArray("inputs").remove(0)
        val sidecar = Sidecar.parse(json.toString())
        assertTrue(sidecar.isSampler)
        assertEquals(listOf(Size(64, 64), Size(128, 128)), sidecar.sizes)
        assertEquals(listOf("style", "label", "planes"), sidecar.extraInputs.map { it.name })
        assertEquals(setOf("style", "label", "planes"), sidecar.values(emptyMap()).keys)
        for (signature in json.objects("signatures")) {
            signature.objects("outputs").first().put("shape", JSONArray(listOf(1, -1, -1, 3)))
        }
        assertTrue("of a fixed size" in refusal(json.toString()).orEmpty())
    }

    @Test
    fun `a second picture becomes numbers in the range of its input`() {
        val sidecar = changed {
            val style = objects("inputs")[1]
            style.put("kind", "picture").put("presets", JSONArray()).put("aspect", "crop")
            style.put("shape", JSONArray(listOf(1, 2, 2, 3))).put("range", JSONArray("[-1, 1]"))
        }
        assertEquals(listOf("style"), sidecar.secondPictures)
        assertEquals(setOf("label", "planes"), sidecar.values(emptyMap()).keys)
        val pixels = Pixels(4, 2, IntArray(8) { opaque(16 * it, 255, 0) })
        val values = checkNotNull(sidecar.values(emptyMap(), mapOf("style" to pixels))["style"])
        val reds = listOf(1, 2, 5, 6).map { 16 * it / 127.5f - 1f } // the middle
        assertContentEquals(reds.flatMap { listOf(it, 1f, -1f) }.toFloatArray(), values)
    }

    @Test
    fun `presets that do not fit their input are refused`() {
        fun preset(values: String) = JSONArray("""[{"name": "one", "values": $values}]""")
        for (values in listOf("[1]", "[1, 2, 3]", "[[1, 2]]", "[1, true]", "[1, 1e39]", "2")) {
            val message = refusalOfInput { put("presets", preset(values)) }
            assertTrue("signatures[0].inputs[1].presets[0].values" in message, message)
        }
        val many = JSONArray(List(65) { preset("[1, 2]")[0] })
        val message = refusalOfInput { put("presets", many) }
        assertTrue("has to be 64 entries at most" in message, message)
        for ((key, value) in listOf(
            "shape" to JSONArray(), "shape" to JSONArray("[1, -1]"), "shape" to JSONArray("[2, 2]"),
            "dtype" to "uint8", "kind" to "mood", "distribution" to "poisson", "exclusive" to 1,
            "encoder" to "../a", "names" to JSONArray("[\"a\\u0007\"]"),
            "names" to JSONArray(List(1_001) { "a" }),
        )) {
            val refusal = refusalOfInput { put(key, value) }
            assertTrue("inputs[1]" in refusal, refusal)
        }
    }

    @Test
    fun `directions and domains are texts, on one line`() {
        val words = "1920s → “photo2x”"
        val sidecar = Sidecar.parse(
            JSONObject(text).apply {
                put("direction", words)
                getJSONObject("domains").put("target", JSONObject.NULL)
            }.toString(),
        )
        assertEquals(words, sidecar.direction)
        assertNull(sidecar.target)
        for (bad in listOf("", "a\nb", "a\u202Eb", "d".repeat(101))) {
            assertTrue("direction is" in refusalOf { put("direction", bad) }.orEmpty(), bad)
        }
    }

    @Test
    fun `schema 1 is still read`() {
        val former = vectors.getString("sidecar_schema1")
        val sidecar = Sidecar.parse(former)
        assertEquals(listOf("a2b", "a", "b"), sidecar.run { listOf(direction, source, target) })
        assertEquals(emptyList(), sidecar.extraInputs)
        val open = JSONObject(former)
        val inputs = open.objects("signatures").first().getJSONArray("inputs")
        val style = JSONObject(inputs.getJSONObject(0).toString())
        inputs.put(style.put("name", "style").put("shape", JSONArray(listOf(1, 8))))
        assertTrue("takes style besides the picture" in refusal(open.toString()).orEmpty())
    }

    @Test
    fun `a newer sidecar asks for an update`() {
        val wanted = "This was made by a newer tfi2i (sidecar schema 3; this app reads 2); " +
            "update the app."
        assertEquals(wanted, refusalOf { put("schema", 3) })
        assertEquals(wanted, refusal("""{"schema": 3}"""))
    }

    @Test
    fun `every field that is missing is named`() {
        val unread = setOf("recipe", "evaluation", "versions", "image_width")
        val later = setOf("value_range", "target_range")
        for (key in JSONObject(text).keySet() - unread - later) {
            assertEquals(
                "This is not a usable sidecar: the file lacks $key; export the model again.",
                refusalOf { remove(key) },
            )
        }
        assertEquals(
            "This is not a usable sidecar: domains lacks target; export the model again.",
            refusalOf { getJSONObject("domains").remove("target") },
        )
    }

    @Test
    fun `no field takes a value of another type`() {
        val unread = setOf("recipe", "evaluation", "versions", "image_width")
        for (key in JSONObject(text).keySet() - unread) {
            val message = refusalOf { put(key, true) }.orEmpty()
            val start = "This is not a usable sidecar: $key is true and has to be "
            assertTrue(message.startsWith(start), message)
        }
    }

    @Test
    fun `numbers and texts are not taken for each other`() {
        for (value in listOf<Any>("100", 1.5, 1e300, -1, 1L shl 40, JSONObject.NULL)) {
            val message = refusalOf { put("step", value) }.orEmpty()
            assertTrue(message.startsWith("This is not a usable sidecar: step is "), message)
        }
        refusal(text.replace("\"step\": 1600", "\"step\": 1600.0"))
        for (value in listOf("NaN", "1e999", "\"1\"")) {
            refusal(text.replace("\"ssim\": 0.9991", "\"ssim\": $value"))
        }
        refusalOf { getJSONObject("agreement").put("passed", "true") }
        assertEquals(
            "This is not a usable sidecar: io is \"int8\" and has to be float or uint8; " +
                "export the model again.",
            refusalOf { put("io", "int8") },
        )
    }

    @Test
    fun `a file is named without a path`() {
        for (name in listOf("../a.tflite", "a/b.tflite", "..", "", "a\\b", "c:a", "a\u0000")) {
            refusalOf { put("file", name) }
        }
    }

    @Test
    fun `what is no picture is refused`() {
        fun changed(end: String, change: JSONObject.() -> Unit) = refusalOf {
            objects("signatures").first().objects(end).first().change()
        }.orEmpty()
        for (shape in listOf("[1, 64, 64]", "[2, 64, 64, 3]", "[1, 0, 64, 3]", "[]")) {
            changed("inputs") { put("shape", JSONArray(shape)) }
        }
        val message = changed("inputs") { put("dtype", "int8") }
        assertTrue("has to be a uint8 picture (1, H, W, 3)" in message, message)
        val smaller = changed("outputs") { put("shape", JSONArray("[1, 32, 32, 3]")) }
        assertTrue("of the input's size" in smaller, smaller)
        refusalOf { put("signatures", JSONArray()) }
    }

    @Test
    fun `a SavedModel is refused in words`() {
        assertEquals(
            "This is of a SavedModel, which a phone does not run; export with --format int8.",
            refusalOf { put("format", "saved_model") },
        )
    }

    @Test
    fun `what is not JSON is refused`() {
        val nested = "[".repeat(100_000)
        for (json in listOf("", "{", "[1]", "null", "$text more", nested, text.dropLast(9))) {
            refusal(json)
        }
        assertEquals(
            "This has over 1000000 characters, which no sidecar has.",
            refusal(text + " ".repeat(1_000_000)),
        )
    }

    @Test
    fun `another model than the sidecar's is refused`() {
        val sidecar = Sidecar.parse(text)
        val model = ByteBuffer.wrap("a model".toByteArray())
        sidecar.verify(model)
        sidecar.verify(model.asReadOnlyBuffer())
        assertEquals(
            "day2dusk-int8.tflite has 8 bytes and its sidecar says 7; export the model again.",
            assertFailsWith<SidecarException> {
                sidecar.verify(ByteBuffer.wrap("a model!".toByteArray()))
            }.message,
        )
        assertFailsWith<SidecarException> {
            sidecar.verify(ByteBuffer.wrap("a modem".toByteArray()))
        }
    }
}
