package dev.tfi2i.core

import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull
import kotlin.test.assertNull

class TranslatorTest {
    @Test
    fun `tiles are blended as Python blends them to the byte`() {
        for (case in vectors.objects("tiled")) {
            val (height, width) = case.size("size")
            val tile = case.size("tile")
            val (taken, made) = case.whole("channels")
            val multiple = case.getInt("multiple")
            val generator = placing(tile.height, tile.width, multiple, taken, made)
            val translation = Translator(generator).translate(picture(height, width), Fit.TILES)
            assertEquals(case.getString("sha256"), sha256(assertNotNull(translation), made), "$case")
        }
    }

    @Test
    fun `a copy of each tile is a copy of the photo`() {
        val photo = picture(75, 131)
        val copy = assertNotNull(Translator(copying(32, 32)).translate(photo, Fit.TILES))
        assertContentEquals(photo.argb, copy.argb)
    }

    @Test
    fun `a photo of the model's size is not scaled`() {
        val photo = picture(32, 48)
        for (fit in Fit.entries) {
            val copy = assertNotNull(Translator(copying(32, 48)).translate(photo, fit))
            assertContentEquals(photo.argb, copy.argb)
        }
    }

    @Test
    fun `the whole photo is scaled to the model and back`() {
        val photo = picture(96, 64)
        val generator = StandIn(32, 32) { image -> FloatArray(image.size) { 255 - image[it] } }
        val translation = assertNotNull(Translator(generator).translate(photo, Fit.WHOLE))
        val small = Geometry.resize(photo, Size(32, 21))
        val negative = Pixels(21, 32, IntArray(small.argb.size) { small.argb[it] xor 0xFFFFFF })
        assertContentEquals(Geometry.resize(negative, Size(96, 64)).argb, translation.argb)
        assertEquals(1, generator.runs)
    }

    @Test
    fun `a crop translates the middle and leaves the rest`() {
        val photo = picture(32, 64)
        val generator = StandIn(32, 32) { image -> FloatArray(image.size) { 255 - image[it] } }
        val translation = assertNotNull(Translator(generator).translate(photo, Fit.CROP))
        val wanted = IntArray(photo.argb.size) {
            if (it % 64 in 16 until 48) photo.argb[it] xor 0xFFFFFF else photo.argb[it]
        }
        assertContentEquals(wanted, translation.argb)
    }

    @Test
    fun `a translation that is grey is so everywhere, and what is made grey once stays so`() {
        val photo = picture(32, 64)
        val negative = { image: FloatArray -> FloatArray(32 * 32) { 255 - image[it] } }
        val generator = StandIn(32, 32, taken = 1, made = 1, answer = negative)
        val crop = assertNotNull(Translator(generator).translate(photo, Fit.CROP))
        val wanted = IntArray(photo.argb.size) {
            val level = grey(photo.argb[it])
            opaque(if (it % 64 in 16 until 48) 255 - level else level)
        }
        assertContentEquals(wanted, crop.argb)
        val copying = StandIn(32, 32, taken = 1, made = 1) { it.copyOf() }
        for (fit in Fit.entries) {
            val made = assertNotNull(Translator(copying).translate(picture(70, 100), fit))
            assertEquals(made.argb.toList(), made.argb.map { opaque(grey(it)) }, "$fit")
        }
    }

    @Test
    fun `a grey picture becomes colour where the model makes it`() {
        val tinting = StandIn(32, 32, taken = 1, made = 3) { image ->
            FloatArray(3 * image.size) { if (it % 3 == 0) image[it / 3] else 7f }
        }
        val photo = picture(32, 32)
        val made = assertNotNull(Translator(tinting).translate(photo, Fit.WHOLE))
        assertEquals(photo.argb.map { opaque(grey(it), 7, 7) }, made.argb.toList())
    }

    @Test
    fun `photos of any shape keep their size`() {
        for ((height, width) in listOf(1 to 1, 1 to 500, 500 to 1, 31 to 33, 97 to 64)) {
            for (fit in Fit.entries) {
                val photo = picture(height, width)
                val made = assertNotNull(Translator(copying(32, 48)).translate(photo, fit))
                assertEquals(Size(height, width), Size(made.height, made.width))
            }
        }
    }

    @Test
    fun `progress goes up to one`() {
        for (fit in Fit.entries) {
            val told = mutableListOf<Float>()
            Translator(copying(32, 32)).translate(picture(70, 100), fit, told::add)
            assertEquals(told.sorted(), told)
            assertEquals(1f, told.last())
        }
    }

    @Test
    fun `cancelling stops before the next tile`() {
        val generator = copying(32, 32)
        val translator = Translator(generator)
        assertNull(translator.translate(picture(70, 100), Fit.TILES) { generator.runs == 2 })
        assertEquals(2, generator.runs)
    }

    @Test
    fun `every tile gets the values of the other inputs`() {
        val values = mapOf("style" to floatArrayOf(0.5f))
        for (fit in Fit.entries) {
            val generator = copying(32, 32)
            Translator(generator, values).translate(picture(70, 100), fit)
            assertEquals(List(generator.runs) { values }, generator.given)
        }
    }

    @Test
    fun `what was cancelled before it began does not run`() {
        for (fit in Fit.entries) {
            val generator = copying(32, 32)
            assertNull(Translator(generator).translate(picture(70, 100), fit) { true })
            assertEquals(0, generator.runs)
        }
    }

    @Test
    fun `an answer that is no picture is refused`() {
        val photo = picture(70, 9)
        for (fit in Fit.entries) {
            val short = Translator(StandIn(32, 32) { FloatArray(5) })
            assertEquals(
                "The model gives 5 values for a picture of 3072; export it again.",
                assertFailsWith<TranslationException> { short.translate(photo, fit) }.message,
            )
            val broken = Translator(StandIn(32, 32) { FloatArray(it.size) { Float.NaN } })
            assertFailsWith<TranslationException> { broken.translate(photo, fit) }
        }
    }

    @Test
    fun `a photo of 12 megapixels fits into a phone's memory`() {
        val photo = picture(3024, 4032) // ci/jvm.sh gives the tests 256 MB
        for (fit in Fit.entries) {
            val made = assertNotNull(Translator(copying(512, 512)).translate(photo, fit))
            if (fit == Fit.TILES) assertContentEquals(photo.argb, made.argb)
        }
    }
}
