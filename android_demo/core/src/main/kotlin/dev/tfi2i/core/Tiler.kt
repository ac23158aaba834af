package dev.tfi2i.core

import kotlin.math.PI
import kotlin.math.cos
import kotlin.math.max
import kotlin.math.min

/**
 * Overlapping tiles of a picture that is larger than one, with the weights that blend them.
 *
 * The arithmetic is that of `tfi2i.pictures.tiles` and `tfi2i_export.tflite.pictures`, to the bit.
 *
 * @property tops the first rows of the tiles; [lefts] their first columns.
 * @property down the weights of a tile's rows, by its index in [tops]; [across] those of its
 *   columns. At every pixel they sum to 1.
 */
class Tiles internal constructor(
    val tile: Size,
    val tops: IntArray,
    val lefts: IntArray,
    val down: List<FloatArray>,
    val across: List<FloatArray>,
) {
    val count: Int get() = tops.size * lefts.size
}

object Tiler {
    /** The least that neighbouring tiles share: an eighth of their shorter side. */
    fun overlapOf(tile: Size): Int = min(tile.height, tile.width) / 2 / 4

    /**
     * The fewest tiles that cover a picture; the last ones may go beyond it.
     *
     * @param overlap pixels that neighbours share at least, up to half a tile. Half of them are
     *   blended, the rest is cut off, because a tile's rim sees padding instead of the picture.
     * @param multiple the network's stride: where it can be, tiles start on its grid.
     */
    fun tiles(
        height: Int,
        width: Int,
        tile: Size,
        overlap: Int = overlapOf(tile),
        multiple: Int = 1,
    ): Tiles {
        val half = min(tile.height, tile.width) / 2
        require(overlap in 0..half) {
            "An overlap is from 0 to half a tile ($half), not $overlap."
        }
        val onGrid = roundedUp(overlap, multiple) <= half &&
            tile.height % multiple == 0 && tile.width % multiple == 0
        val grid = if (onGrid) multiple else 1
        val rows = max(roundedUp(height, grid), tile.height)
        val columns = max(roundedUp(width, grid), tile.width)
        val tops = starts(rows, tile.height, overlap, grid)
        val lefts = starts(columns, tile.width, overlap, grid)
        return Tiles(
            tile,
            tops,
            lefts,
            weights(rows, tile.height, tops, overlap),
            weights(columns, tile.width, lefts, overlap),
        )
    }

    /**
     * A photo tile by tile through [run]; only one band of tiles is ever float.
     *
     * @param run a tile (1, H, W, [taken]), 0..255 -> (1, H, W, [made]).
     * @return of the photo's size; null: cancelled.
     */
    fun blended(
        photo: Pixels,
        tiles: Tiles,
        taken: Int,
        made: Int,
        run: (FloatArray) -> FloatArray,
        progress: (Float) -> Unit,
        cancelled: () -> Boolean,
    ): Pixels? {
        val result = IntArray(photo.width * photo.height)
        val stride = (tiles.lefts.last() + tiles.tile.width) * made
        val band = FloatArray(tiles.tile.height * stride) // from the row `top` on, weighted so far
        tiles.tops.forEachIndexed { i, top ->
            tiles.lefts.forEachIndexed { j, left ->
                if (cancelled()) return null
                val rows = Geometry.reflected(photo.height, top, tiles.tile.height)
                val columns = Geometry.reflected(photo.width, left, tiles.tile.width)
                val answer = run(ImageTensor.pack(photo, rows, columns, taken))
                add(answer, tiles.down[i], tiles.across[j], band, left * made, stride, made)
                progress((i * tiles.lefts.size + j + 1f) / tiles.count)
            }
            // No later tile reaches the rows above the next band.
            val below = if (i + 1 < tiles.tops.size) tiles.tops[i + 1] else photo.height
            for (row in top until min(below, photo.height)) {
                for (column in 0 until photo.width) {
                    val at = (row - top) * stride + column * made
                    result[row * photo.width + column] = ImageTensor.pixel(band, at, made)
                }
            }
            if (i + 1 < tiles.tops.size) {
                val kept = band.size - (below - top) * stride
                band.copyInto(band, 0, band.size - kept)
                band.fill(0f, kept)
            }
        }
        return Pixels(photo.width, photo.height, result)
    }

    private fun add(
        answer: FloatArray,
        down: FloatArray,
        across: FloatArray,
        band: FloatArray,
        left: Int,
        stride: Int,
        channels: Int,
    ) {
        var from = 0
        for (row in down.indices) {
            var to = row * stride + left
            for (column in across.indices) {
                val weight = down[row] * across[column]
                repeat(channels) { band[to++] += ImageTensor.level(answer[from++]) * weight }
            }
        }
    }

    /**
     * Starts of the fewest tiles that cover an axis and overlap by at least [overlap].
     *
     * [tile] and [length] - [tile] must be on the grid, [overlap] rounded up to it less than
     * [tile].
     */
    internal fun starts(length: Int, tile: Int, overlap: Int, grid: Int = 1): IntArray {
        if (length <= tile) return intArrayOf(0)
        val shared = roundedUp(overlap, grid)
        val count = (length - shared + tile - shared - 1) / (tile - shared)
        val last = (length - tile) / grid
        // Rounded down, never to the nearest: so no gap is more than a grid step above the average.
        return IntArray(count) { it * last / (count - 1) * grid }
    }

    /**
     * For each tile its weights along an axis, which sum to 1 at every pixel.
     *
     * From each tile to the next a raised-cosine step, half an overlap wide, in the middle of what
     * the two share. A tile's weight is the difference of the steps at its two ends, so the sum is
     * 1 however many tiles meet.
     */
    internal fun weights(
        length: Int,
        tile: Int,
        starts: IntArray,
        overlap: Int,
    ): List<FloatArray> {
        val ramp = max(1.0, overlap / 2.0)
        val steps = List(starts.size + 1) { i ->
            DoubleArray(length) { x ->
                when (i) {
                    0 -> 1.0
                    starts.size -> 0.0
                    else -> {
                        val middle = (starts[i] + starts[i - 1] + tile) / 2.0
                        val along = ((x + 0.5 - middle) / ramp + 0.5).coerceIn(0.0, 1.0)
                        (1 - cos(PI * along)) / 2
                    }
                }
            }
        }
        return starts.mapIndexed { i, start ->
            FloatArray(tile) { (steps[i][start + it] - steps[i + 1][start + it]).toFloat() }
        }
    }

    private fun roundedUp(length: Int, multiple: Int): Int =
        (length + multiple - 1) / multiple * multiple
}
