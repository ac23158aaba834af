package dev.tfi2i.demo

import android.content.res.Resources
import dev.tfi2i.core.Sidecar
import dev.tfi2i.core.Size

/** Models of one run that differ in their direction alone. */
class ModelFamily(val sidecars: List<Sidecar>) {
    /** The sidecar for a direction, or the first. */
    fun sidecar(direction: String?): Sidecar =
        sidecars.find { it.direction == direction } ?: sidecars.first()

    companion object {
        fun of(sidecars: List<Sidecar>): List<ModelFamily> = sidecars
            .groupBy { listOf(it.run, it.step, it.name.replaceFirst(it.direction, "")) }
            .map { (_, same) -> ModelFamily(same.sortedBy { it.direction }) }

        /** A name for each family, no two the same. */
        fun labels(families: List<ModelFamily>, resources: Resources): List<String> {
            val sidecars = families.map { it.sidecars.first() }
            val short = sidecars.map {
                resources.getString(R.string.model_label, it.system, it.data, it.format)
            }
            return sidecars.mapIndexed { i, sidecar ->
                if (short.count { it == short[i] } == 1) {
                    short[i]
                } else {
                    val (run, name) = sidecar.run to sidecar.name
                    resources.getString(R.string.model_label_of_file, short[i], run, name)
                }
            }
        }
    }
}

/** The domains, or the direction in its own words: of samplers, or where an input chooses one. */
fun directionLabel(sidecar: Sidecar, resources: Resources): String {
    val source = sidecar.source ?: return sidecar.direction
    val target = sidecar.target ?: return sidecar.direction
    return resources.getString(R.string.direction_label, source, target)
}

fun sizeLabel(size: Size, resources: Resources): String =
    resources.getString(R.string.size_label, size.width, size.height)

/** The sizes to choose from for the pictures that a model is given, the smallest first. */
fun sizesOf(sidecar: Sidecar): List<Size> {
    if (!sidecar.isFree) return sidecar.sizes
    val side = (sidecar.imageSize + sidecar.multiple - 1) / sidecar.multiple * sidecar.multiple
    return listOf(1, 2, 4).map { Size(it * side, it * side) }
}
