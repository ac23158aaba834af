package dev.tfi2i.demo

import android.content.Context
import dev.tfi2i.core.Sidecar
import dev.tfi2i.core.SidecarException
import java.io.File
import java.io.IOException

/** The models in the app's assets: NAME.tflite with its sidecar NAME.json. */
class ModelShelf(context: Context) {
    private val assets = context.assets
    private val copies = File(context.noBackupFilesDir, FOLDER)

    /** Their sidecars, by name. */
    val sidecars: List<Sidecar>

    /** Reasons why the others cannot be used. */
    val problems: List<Message>

    init {
        val files = assets.list(FOLDER).orEmpty().toSet()
        val sidecars = mutableListOf<Sidecar>()
        val problems = mutableListOf<Message>()
        for (name in files.filter { it.endsWith(SIDECAR) }.sorted()) {
            try {
                sidecars += sidecar(name, files)
            } catch (error: SidecarException) {
                problems += Message(R.string.bad_model, name, error.message.orEmpty())
            }
        }
        this.sidecars = sidecars
        this.problems = problems
    }

    private fun sidecar(name: String, files: Set<String>): Sidecar {
        val json = assets.open("$FOLDER/$name").use { it.readBytes().decodeToString() }
        val sidecar = Sidecar.parse(json)
        if (sidecar.file !in files) {
            throw SidecarException("${sidecar.file} is not beside it; copy both together.")
        }
        return sidecar
    }

    /**
     * The file of a sidecar, copied out of the APK, where native code cannot open it.
     *
     * Whoever opens it has to check that it is the one the sidecar is of.
     *
     * @throws DemoException there is no room for the copy.
     */
    fun file(sidecar: Sidecar): File {
        val copy = File(copies, sidecar.sha256)
        if (copy.length() == sidecar.sizeBytes) return copy
        val begun = File(copies, "${sidecar.sha256}.part")
        try {
            copies.mkdirs()
            assets.open("$FOLDER/${sidecar.file}").use { asset ->
                begun.outputStream().use { asset.copyTo(it) }
            }
            if (!begun.renameTo(copy)) throw IOException("$copy cannot be written.")
        } catch (error: IOException) {
            begun.delete()
            val reason = error.message.orEmpty()
            throw DemoException(Message(R.string.bad_model, sidecar.file, reason), error)
        }
        deleteOthers()
        return copy
    }

    /** Deletes the models of earlier versions of the app. */
    private fun deleteOthers() {
        val kept = sidecars.map { it.sha256 }
        copies.listFiles().orEmpty().filter { it.name !in kept }.forEach { it.delete() }
    }

    private companion object {
        const val FOLDER = "models"
        const val SIDECAR = ".json"
    }
}
