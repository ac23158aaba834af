package dev.tfi2i.core

import kotlin.math.abs
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class BlendTest {
    private val before = Pixels(256, 256, IntArray(65_536) { opaque(it shr 8, it and 0xFF, 7) })
    private val after = Pixels(256, 256, IntArray(65_536) { opaque(it and 0xFF, it shr 8, 250) })

    @Test
    fun `no strength is the photo and full strength the translation`() {
        assertContentEquals(before.argb, Blend.mix(before, after, 0f).argb)
        assertContentEquals(after.argb, Blend.mix(before, after, 1f).argb)
    }

    @Test
    fun `in between each channel is within half a level of its share`() {
        for (strength in listOf(0.001f, 0.25f, 0.5f, 0.7f, 0.999f)) {
            val mixed = rgb(Blend.mix(before, after, strength))
            val shares = rgb(before).zip(rgb(after)) { from, to -> from + (to - from) * strength }
            val far = mixed.zip(shares) { mine, share -> abs(mine - share) }.max()
            assertTrue(far <= 0.505f, "$strength: $far levels")
        }
    }

    @Test
    fun `other sizes and strengths are refused`() {
        assertFailsWith<IllegalArgumentException> { Blend.mix(before, picture(256, 255), 0.5f) }
        for (strength in listOf(-0.1f, 1.1f, Float.NaN)) {
            assertFailsWith<IllegalArgumentException> { Blend.mix(before, after, strength) }
        }
    }
}
