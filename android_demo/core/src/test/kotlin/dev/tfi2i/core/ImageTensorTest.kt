package dev.tfi2i.core

import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class ImageTensorTest {
    @Test
    fun `pixels become RGB from 0 to 255 and come back`() {
        val pixels = Pixels(2, 1, intArrayOf(opaque(1, 2, 3), 0x00FF8000))
        val values = ImageTensor.pack(pixels)
        assertContentEquals(floatArrayOf(1f, 2f, 3f, 255f, 128f, 0f), values)
        val back = ImageTensor.unpack(values, 2, 1)
        assertContentEquals(intArrayOf(opaque(1, 2, 3), opaque(255, 128, 0)), back.argb)
    }

    @Test
    fun `grey is Pillow's, to the byte`() {
        val case = vectors.getJSONObject("grey")
        val (height, width) = case.size("size")
        val values = ImageTensor.pack(picture(height, width), 1)
        val pixels = ImageTensor.unpack(values, width, height, 1)
        assertEquals(case.getString("sha256"), sha256(pixels, 1))
        assertContentEquals(values, ImageTensor.pack(pixels, 1))
        assertEquals(rgb(pixels), ImageTensor.pack(pixels).map { it.toInt() })
        assertFailsWith<IllegalArgumentException> { ImageTensor.unpack(values, width, height) }
    }

    @Test
    fun `values are rounded and clipped as NumPy does it`() {
        val case = vectors.getJSONObject("rounded")
        val values = case.getJSONArray("values").floats()
        for ((value, level) in values.zip(case.whole("levels"))) {
            val pixel = ImageTensor.unpack(floatArrayOf(value, 0f, 0f), 1, 1).argb.single()
            assertEquals(opaque(level, 0, 0), pixel)
        }
    }

    @Test
    fun `values that are not finite are refused`() {
        for (value in listOf(Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY)) {
            val message = assertFailsWith<TranslationException> {
                ImageTensor.unpack(floatArrayOf(0f, value, 0f), 1, 1)
            }.message
            assertEquals("The model gives values that are not finite; export it again.", message)
        }
    }

    @Test
    fun `sizes that do not belong together are refused`() {
        assertFailsWith<IllegalArgumentException> { ImageTensor.unpack(FloatArray(5), 2, 1) }
        assertFailsWith<IllegalArgumentException> { Pixels(2, 2, IntArray(3)) }
        assertFailsWith<IllegalArgumentException> { Pixels(0, 2, IntArray(0)) }
        assertFailsWith<IllegalArgumentException> { Pixels(65_536, 65_536, IntArray(0)) }
    }
}
