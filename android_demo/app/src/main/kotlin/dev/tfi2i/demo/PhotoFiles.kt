package dev.tfi2i.demo

import android.content.ContentResolver
import android.net.Uri
import java.io.File
import java.io.IOException
import java.io.InputStream
import java.util.UUID

/**
 * Copies of the chosen photos in [folder].
 *
 * A permission to read a photo ends with the process, while a copy is still there when Android
 * brings the app back.
 */
class PhotoFiles(private val resolver: ContentResolver, private val folder: File) {
    /**
     * A copy of what [uri] names.
     *
     * @throws DemoException it cannot be read, or it is no photo by its size.
     */
    fun copied(uri: Uri): File {
        // Only another app's provider: file:// could name a file of this app's own.
        if (uri.scheme != ContentResolver.SCHEME_CONTENT) throw noPhoto()
        val file = fresh()
        try {
            val stream = resolver.openInputStream(uri) ?: throw noPhoto()
            stream.use { copy(it, file) }
        } catch (error: IOException) {
            throw DemoException(Message(R.string.photo_unreadable, error.message.orEmpty()), error)
        } catch (error: SecurityException) {
            throw DemoException(Message(R.string.photo_forbidden), error)
        }
        return file
    }

    /** A file to write a photo to. */
    fun fresh(): File {
        folder.mkdirs()
        return File(folder, UUID.randomUUID().toString())
    }

    /** The photo of a [name] that [fresh] once gave; null: there is none any more. */
    fun named(name: String): File? =
        File(folder, name).takeIf { it.parentFile == folder && it.isFile }

    /** Deletes what was there before a photo; what came after it may be wanted next. */
    fun deleteBefore(photo: File) {
        val time = photo.lastModified()
        delete { it != photo && it.lastModified() <= time }
    }

    fun clear() = delete { true }

    private fun delete(which: (File) -> Boolean) {
        folder.listFiles().orEmpty().filter(which).forEach { it.delete() }
    }

    private fun noPhoto() = DemoException(Message(R.string.not_a_photo))

    private fun copy(stream: InputStream, file: File) {
        try {
            file.outputStream().use { output ->
                val buffer = ByteArray(BUFFER_BYTES)
                var total = 0L
                while (true) {
                    val count = stream.read(buffer)
                    if (count < 0) break
                    total += count
                    if (total > LARGEST_MB shl 20) {
                        throw DemoException(Message(R.string.photo_too_large, LARGEST_MB))
                    }
                    output.write(buffer, 0, count)
                }
            }
        } catch (error: Exception) {
            file.delete()
            throw error
        }
    }

    private companion object {
        const val BUFFER_BYTES = 1 shl 16
        const val LARGEST_MB = 128L
    }
}
