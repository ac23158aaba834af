package dev.tfi2i.demo

import android.content.res.Resources
import dev.tfi2i.core.ModelCard
import dev.tfi2i.core.Size

/** Models of one run that differ in their direction alone. */
class ModelFamily(val cards: List<ModelCard>) {
    /** The card for a direction, or the first. */
    fun card(direction: String?): ModelCard =
        cards.find { it.direction == direction } ?: cards.first()

    companion object {
        fun of(cards: List<ModelCard>): List<ModelFamily> = cards
            .groupBy { listOf(it.run, it.step, it.name.replace(it.direction, "")) }
            .map { (_, same) -> ModelFamily(same.sortedBy { it.direction }) }

        /** A name for each family, no two the same. */
        fun labels(families: List<ModelFamily>, resources: Resources): List<String> {
            val cards = families.map { it.cards.first() }
            val short = cards.map {
                resources.getString(R.string.model_label, it.system, it.data, it.format)
            }
            return cards.mapIndexed { i, card ->
                if (short.count { it == short[i] } == 1) {
                    short[i]
                } else {
                    resources.getString(R.string.model_label_of_file, short[i], card.run, card.name)
                }
            }
        }
    }
}

fun directionLabel(card: ModelCard, resources: Resources): String =
    resources.getString(R.string.direction_label, card.source, card.target)

fun sizeLabel(size: Size, resources: Resources): String =
    resources.getString(R.string.size_label, size.width, size.height)

/** The sizes to choose from for the pictures that a model is given, the smallest first. */
fun sizesOf(card: ModelCard): List<Size> {
    if (!card.isFree) return card.sizes
    val side = (card.imageSize + card.multiple - 1) / card.multiple * card.multiple
    return listOf(1, 2, 4).map { Size(it * side, it * side) }
}
