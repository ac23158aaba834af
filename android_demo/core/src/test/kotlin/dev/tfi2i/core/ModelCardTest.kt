package dev.tfi2i.core

import java.nio.ByteBuffer
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.json.JSONArray
import org.json.JSONObject

class ModelCardTest {
    private val text = vectors.getString("card")

    private fun refusal(json: String): String? =
        assertFailsWith<ModelCardException> { ModelCard.parse(json) }.message

    private fun refusalOf(change: JSONObject.() -> Unit): String? =
        refusal(JSONObject(text).apply(change).toString())

    @Test
    fun `a sidecar that Python wrote is read`() {
        val card = ModelCard.parse(text)
        assertEquals("a2b-int8.tflite", card.file)
        assertEquals("int8", card.format)
        assertEquals("NICEGAN", card.system)
        assertEquals(listOf("a2b", "a", "b"), listOf(card.direction, card.source, card.target))
        assertEquals(listOf(1600, 64, 4), listOf(card.step, card.imageSize, card.multiple))
        assertEquals(Io.UINT8, card.io)
        assertEquals(listOf(Size(64, 64), Size(128, 128)), card.sizes)
        assertEquals("translate_128x128", card.signatures.first().name)
        assertEquals("translation", card.signatures.first().outputs.single().name)
        assertEquals(46.25, card.agreement?.psnrDbMean)
        assertNull(card.agreement?.psnrDbWorst)
        assertEquals(listOf(0.25, -0.5, 0.0), card.agreement?.bias)
        assertEquals("MIT", card.licence)
        assertEquals(listOf("Colours differ – a little."), card.warnings)
        assertEquals(emptyList(), card.extraInputs)
    }

    @Test
    fun `what is null there is null here`() {
        val sidecar = JSONObject(text)
        for (key in listOf("agreement", "licence")) sidecar.put(key, JSONObject.NULL)
        val card = ModelCard.parse(sidecar.toString())
        assertNull(card.agreement)
        assertNull(card.licence)
    }

    @Test
    fun `a file of free size has no sizes`() {
        val sidecar = JSONObject(text)
        for (signature in sidecar.objects("signatures")) {
            for (end in listOf("inputs", "outputs")) {
                signature.objects(end).first().put("shape", JSONArray(listOf(1, -1, -1, 3)))
            }
        }
        val card = ModelCard.parse(sidecar.toString())
        assertEquals(emptyList(), card.sizes)
        assertTrue(card.isFree)
    }

    @Test
    fun `inputs besides the picture are named`() {
        val sidecar = JSONObject(text)
        val inputs = sidecar.objects("signatures").first().getJSONArray("inputs")
        val style = JSONObject(inputs.getJSONObject(0).toString())
        style.put("name", "style").put("shape", JSONArray(listOf(1, 8))).put("dtype", "float32")
        inputs.put(style)
        assertEquals(listOf("style"), ModelCard.parse(sidecar.toString()).extraInputs)
    }

    @Test
    fun `a newer sidecar asks for an update`() {
        val wanted = "This was made by a newer tfi2i (sidecar schema 2; this app reads 1); " +
            "update the app."
        assertEquals(wanted, refusalOf { put("schema", 2) })
        assertEquals(wanted, refusal("""{"schema": 2}"""))
    }

    @Test
    fun `every field that is missing is named`() {
        val unread = setOf("recipe", "evaluation", "versions")
        for (key in JSONObject(text).keySet() - unread) {
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
        val unread = setOf("recipe", "evaluation", "versions")
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
    fun `another model than the card's is refused`() {
        val card = ModelCard.parse(text)
        val model = ByteBuffer.wrap("a model".toByteArray())
        card.verify(model)
        card.verify(model.asReadOnlyBuffer())
        assertEquals(
            "a2b-int8.tflite has 8 bytes and its sidecar says 7; export the model again.",
            assertFailsWith<ModelCardException> {
                card.verify(ByteBuffer.wrap("a model!".toByteArray()))
            }.message,
        )
        assertFailsWith<ModelCardException> {
            card.verify(ByteBuffer.wrap("a modem".toByteArray()))
        }
    }
}
