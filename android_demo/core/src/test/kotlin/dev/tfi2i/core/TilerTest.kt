package dev.tfi2i.core

import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class TilerTest {
    @Test
    fun `tiles start where Python's do and weigh the same to the bit`() {
        for (case in vectors.objects("axes")) {
            val (length, tile, overlap, grid) = case.whole("axis")
            val starts = Tiler.starts(length, tile, overlap, grid)
            assertEquals(case.whole("starts"), starts.toList())
            val weights = Tiler.weights(length, tile, starts, overlap)
            val wanted = case.getJSONArray("weights")
            assertEquals(wanted.length(), weights.size)
            weights.forEachIndexed { i, along ->
                assertContentEquals(wanted.getJSONArray(i).floats(), along)
            }
        }
    }

    @Test
    fun `weights sum to one at every pixel`() {
        for (overlap in listOf(0, 1, 5, 10)) {
            val starts = Tiler.starts(107, 20, overlap)
            val sums = FloatArray(107)
            Tiler.weights(107, 20, starts, overlap).forEachIndexed { i, along ->
                along.forEachIndexed { at, weight -> sums[starts[i] + at] += weight }
            }
            for (sum in sums) assertEquals(1f, sum, 1e-6f)
        }
    }

    @Test
    fun `tiles cover the picture and keep to the stride where they can`() {
        val tiles = Tiler.tiles(70, 101, Size(32, 48), multiple = 4)
        assertEquals(listOf(0, 20, 40), tiles.tops.toList())
        assertEquals(listOf(0, 28, 56), tiles.lefts.toList())
        assertEquals(9, tiles.count)
    }

    @Test
    fun `an overlap of more than half a tile is refused`() {
        assertFailsWith<IllegalArgumentException> {
            Tiler.tiles(64, 64, Size(32, 32), overlap = 17)
        }
    }
}
