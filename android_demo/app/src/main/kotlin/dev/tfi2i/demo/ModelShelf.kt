package dev.tfi2i.demo

import android.content.Context
import dev.tfi2i.core.ModelCard
import dev.tfi2i.core.ModelCardException
import java.io.File
import java.io.IOException

/** The models in the app's assets: NAME.tflite with its sidecar NAME.json. */
class ModelShelf(context: Context) {
    private val assets = context.assets
    private val copies = File(context.noBackupFilesDir, FOLDER)

    /** Their cards, by name. */
    val cards: List<ModelCard>

    /** What is wrong with the others. */
    val problems: List<Message>

    init {
        val files = assets.list(FOLDER).orEmpty().toSet()
        val cards = mutableListOf<ModelCard>()
        val problems = mutableListOf<Message>()
        for (sidecar in files.filter { it.endsWith(SIDECAR) }.sorted()) {
            try {
                cards += card(sidecar, files)
            } catch (error: ModelCardException) {
                problems += Message(R.string.bad_model, sidecar, error.message.orEmpty())
            }
        }
        this.cards = cards
        this.problems = problems
    }

    private fun card(sidecar: String, files: Set<String>): ModelCard {
        val json = assets.open("$FOLDER/$sidecar").use { it.readBytes().decodeToString() }
        val card = ModelCard.parse(json)
        if (card.file !in files) {
            throw ModelCardException("${card.file} is not beside it; copy both together.")
        }
        return card
    }

    /**
     * The file of a card, copied out of the APK, where native code cannot open it.
     *
     * Whoever opens it has to check that it is the one the card is of.
     *
     * @throws DemoException there is no room for the copy.
     */
    fun file(card: ModelCard): File {
        val copy = File(copies, card.sha256)
        if (copy.length() == card.sizeBytes) return copy
        val begun = File(copies, "${card.sha256}.part")
        try {
            copies.mkdirs()
            assets.open("$FOLDER/${card.file}").use { asset ->
                begun.outputStream().use { asset.copyTo(it) }
            }
            if (!begun.renameTo(copy)) throw IOException("$copy cannot be written.")
        } catch (error: IOException) {
            begun.delete()
            val reason = error.message.orEmpty()
            throw DemoException(Message(R.string.bad_model, card.file, reason), error)
        }
        deleteOthers()
        return copy
    }

    /** Deletes the models of earlier versions of the app. */
    private fun deleteOthers() {
        val kept = cards.map { it.sha256 }
        copies.listFiles().orEmpty().filter { it.name !in kept }.forEach { it.delete() }
    }

    private companion object {
        const val FOLDER = "models"
        const val SIDECAR = ".json"
    }
}
