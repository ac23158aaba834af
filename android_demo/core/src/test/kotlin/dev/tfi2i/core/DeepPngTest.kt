package dev.tfi2i.core

import java.io.ByteArrayInputStream
import java.util.Base64
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertSame
import kotlin.test.assertTrue
import org.json.JSONObject

class DeepPngTest {
    private fun file(case: JSONObject) =
        ByteArrayInputStream(Base64.getDecoder().decode(case.getString("file")))

    private fun reading(case: JSONObject): Reading {
        val (black, white) = case.getJSONArray("range").map { (it as Number).toDouble() }
        return Reading(ValueRange(black, white), case.getBoolean("grey"))
    }

    @Test
    fun `numbers of 16 bits become the levels that Python makes of them`() {
        val cases = vectors.objects("deep")
        assertTrue(cases.size > 9)
        for (case in cases) {
            val sample = case.getInt("sample")
            val read = assertNotNull(DeepPng.read(file(case), reading(case)) { sample })
            val (height, width) = case.size("size")
            assertEquals(Size(height, width), read.pixels.run { Size(this.height, this.width) })
            assertEquals(case.rgb(), rgb(read.pixels), case.getString("name"))
            if (sample == 1) assertEquals(Size(height, width), read.stored)
        }
    }

    @Test
    fun `a file that is read in part tells its whole size`() {
        val case = vectors.objects("deep").first { it.getInt("sample") == 2 }
        var told: Size? = null
        val read = DeepPng.read(file(case), reading(case)) { size -> 3.also { told = size } }
        assertEquals(Size(11, 7), read?.stored)
        assertEquals(told, read?.stored)
        assertEquals(Size(4, 3), read?.pixels?.run { Size(height, width) })
    }

    @Test
    fun `damaged and huge files are refused in a sentence`() {
        for (case in vectors.objects("damaged")) {
            val message = assertFailsWith<PictureException>(case.getString("name")) {
                DeepPng.read(file(case), Reading(ValueRange(0.0, 4095.0)))
            }.message.orEmpty()
            assertTrue(case.getString("reason") in message, "${case.getString("name")}: $message")
            assertTrue(message.startsWith("it ") && message.endsWith("."), message)
        }
    }

    @Test
    fun `bytes that are changed anywhere end in a picture or a sentence`() {
        for (case in vectors.objects("deep").filter { it.getString("file").length < 600 }) {
            val good = Base64.getDecoder().decode(case.getString("file"))
            for (at in good.indices) {
                val bad = good.copyOf().also { it[at] = (it[at] + 1 + at % 255).toByte() }
                try {
                    DeepPng.read(ByteArrayInputStream(bad), reading(case)) { 1 }
                } catch (error: PictureException) {
                    assertTrue(error.message.orEmpty().endsWith("."))
                }
                try {
                    DeepPng.read(ByteArrayInputStream(good.copyOf(at)), reading(case))
                } catch (error: PictureException) {
                    assertTrue("damaged" in error.message.orEmpty(), error.message)
                }
            }
        }
    }

    @Test
    fun `other files and models without a range are left to the phone`() {
        val case = vectors.objects("deep").first()
        assertNull(DeepPng.read(file(case), Reading()))
        val reading = reading(case)
        val good = Base64.getDecoder().decode(case.getString("file"))
        for (other in listOf(byteArrayOf(), good.copyOf(7), "GIF89a".repeat(9).toByteArray())) {
            assertNull(DeepPng.read(ByteArrayInputStream(other), reading))
        }
        val shallow = Base64.getDecoder().decode(
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==",
        )
        assertNull(DeepPng.read(ByteArrayInputStream(shallow), reading))
    }

    @Test
    fun `levels of 8 bits are scaled as Python scales them`() {
        for (case in vectors.objects("shallow")) {
            val (height, width) = case.size("size")
            val reading = reading(case)
            assertEquals(case.rgb(), rgb(reading.of(picture(height, width))))
        }
        val pixels = picture(2, 3)
        assertSame(pixels, Reading().of(pixels))
        val plain = rgb(pixels)
        assertEquals(plain, rgb(Reading(ValueRange(0.0, 255.0)).of(pixels)))
    }

    @Test
    fun `a range beyond 8 bits is told from one within`() {
        for ((black, white) in listOf(-1.0 to 9.0, 0.0 to 255.5)) {
            assertTrue(ValueRange(black, white).isDeep)
        }
        assertTrue(!ValueRange(0.0, 255.0).isDeep)
        assertFailsWith<IllegalArgumentException> { ValueRange(1.0, 1.0) }
    }
}
