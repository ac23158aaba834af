package dev.tfi2i.core

import kotlin.math.abs
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertSame
import kotlin.test.assertTrue

class GeometryTest {
    @Test
    fun `all Exif orientations are turned as Pillow turns them`() {
        val cases = vectors.objects("upright")
        assertEquals((1..8).toList(), cases.map { it.getInt("orientation") })
        for (case in cases) {
            val turned = Geometry.upright(picture(2, 3), case.getInt("orientation"))
            assertEquals(case.size("size"), Size(turned.height, turned.width))
            assertEquals(case.rgb(), rgb(turned))
        }
    }

    @Test
    fun `an unknown orientation changes nothing`() {
        val pixels = picture(2, 3)
        for (orientation in listOf(-1, 0, 9)) {
            assertSame(pixels, Geometry.upright(pixels, orientation))
        }
    }

    @Test
    fun `reflection is NumPy's`() {
        for (case in vectors.objects("reflected")) {
            val indices = case.whole("indices")
            assertEquals(
                indices,
                Geometry.reflected(case.getInt("length"), 0, indices.size).toList(),
            )
        }
    }

    @Test
    fun `scaled pictures are within a level of TensorFlow's`() {
        for (case in vectors.objects("resized")) {
            val (height, width) = case.whole("from")
            val scaled = Geometry.resize(picture(height, width), case.size("size"))
            val far = rgb(scaled).zip(case.rgb()).maxOf { (mine, other) -> abs(mine - other) }
            assertTrue(far <= 1, "$width x $height: $far levels")
        }
    }

    @Test
    fun `a picture of one colour stays so at any size`() {
        val pixels = Pixels(7, 5, IntArray(35) { opaque(1, 128, 255) })
        for (size in listOf(Size(3, 2), Size(64, 64), Size(5, 700), Size(1, 1))) {
            assertEquals(setOf(opaque(1, 128, 255)), Geometry.resize(pixels, size).argb.toSet())
        }
    }

    @Test
    fun `a letterbox is filled along one side and reflected along the other`() {
        val pixels = picture(30, 60)
        val boxed = Geometry.letterbox(pixels, Size(20, 20))
        val scaled = Geometry.resize(pixels, Size(10, 20))
        assertContentEquals(Geometry.padded(scaled, Size(20, 20)).argb, boxed.argb)
        assertContentEquals(scaled.argb, Geometry.crop(boxed, 0, 0, Size(10, 20)).argb)
        assertEquals(boxed.argb[8 * 20 + 3], boxed.argb[10 * 20 + 3])
    }

    @Test
    fun `the centre keeps the shape that is asked for and all it can`() {
        val wide = Geometry.centreCrop(picture(30, 61), Size(64, 64))
        assertContentEquals(Geometry.crop(picture(30, 61), 15, 0, Size(30, 30)).argb, wide.argb)
        val tall = Geometry.centreCrop(picture(61, 30), Size(64, 128))
        assertContentEquals(Geometry.crop(picture(61, 30), 0, 23, Size(15, 30)).argb, tall.argb)
        assertEquals(Size(1, 1), Geometry.cropSize(picture(1, 900), Size(512, 512)))
        assertEquals(Size(1, 512), Geometry.fittedSize(picture(1, 900), Size(512, 512)))
    }

    @Test
    fun `a part beyond the picture and padding to less are refused`() {
        val message = assertFailsWith<IllegalArgumentException> {
            Geometry.crop(picture(4, 6), 3, 0, Size(4, 4))
        }.message
        assertEquals("A picture of 6 x 4 has no part of 4 x 4 at (3, 0).", message)
        assertFailsWith<IllegalArgumentException> { Geometry.padded(picture(4, 6), Size(8, 5)) }
    }

    @Test
    fun `photos are decoded as large as memory allows`() {
        val heap = 256L shl 20
        assertEquals(1, Geometry.sampleSize(4032, 3024, heap)) // 12 megapixels
        assertEquals(2, Geometry.sampleSize(8064, 6048, heap)) // 48
        assertEquals(4, Geometry.sampleSize(16320, 12240, heap)) // 200
        assertEquals(2, Geometry.sampleSize(4032, 3024, heap / 2))
        assertEquals(65_536, Geometry.sampleSize(65_536, 65_536, 0))
    }
}
