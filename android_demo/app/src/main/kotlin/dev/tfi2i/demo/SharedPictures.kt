package dev.tfi2i.demo

import android.content.ContentProvider
import android.content.ContentResolver
import android.content.ContentValues
import android.content.Context
import android.database.Cursor
import android.database.MatrixCursor
import android.graphics.Bitmap
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.OpenableColumns
import java.io.File
import java.io.FileNotFoundException
import java.io.IOException

/**
 * Lets other apps read the translations they were given, and nothing else.
 *
 * Not exported: an app needs the grant that comes with what is shared with it.
 */
class SharedPictures : ContentProvider() {
    override fun onCreate(): Boolean = true

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor {
        if (mode != "r") throw SecurityException("Shared pictures can only be read.")
        return ParcelFileDescriptor.open(file(uri), ParcelFileDescriptor.MODE_READ_ONLY)
    }

    override fun query(
        uri: Uri,
        projection: Array<String>?,
        selection: String?,
        selectionArgs: Array<String>?,
        sortOrder: String?,
    ): Cursor {
        val file = file(uri)
        val known = listOf(OpenableColumns.DISPLAY_NAME, OpenableColumns.SIZE)
        val columns = known.filter { projection == null || it in projection }
        val row = columns.map { if (it == OpenableColumns.SIZE) file.length() else file.name }
        return MatrixCursor(columns.toTypedArray(), 1).apply { addRow(row) }
    }

    override fun getType(uri: Uri): String = PICTURE_TYPE

    override fun insert(uri: Uri, values: ContentValues?): Uri? = throw readOnly()

    override fun update(
        uri: Uri,
        values: ContentValues?,
        selection: String?,
        selectionArgs: Array<String>?,
    ): Int = throw readOnly()

    override fun delete(uri: Uri, selection: String?, selectionArgs: Array<String>?): Int =
        throw readOnly()

    private fun readOnly() = UnsupportedOperationException("Shared pictures can only be read.")

    /** The picture that [uri] names: one plain name of a kind that leads to no other folder. */
    private fun file(uri: Uri): File {
        val context = context ?: throw FileNotFoundException(uri.toString())
        val name = uri.pathSegments.singleOrNull()?.takeIf(NAME::matches)
        return name?.let { File(folder(context), it) }?.takeIf { it.isFile }
            ?: throw FileNotFoundException(uri.toString())
    }

    companion object {
        private const val AUTHORITY = "dev.tfi2i.demo.shared"
        private const val KEPT = 5
        private val NAME = Regex("""[A-Za-z0-9-]+\.jpg""")

        /**
         * Writes a picture and gives the address under which others may be let read it.
         *
         * @throws DemoException there is no room.
         */
        fun write(context: Context, bitmap: Bitmap): Uri {
            val folder = folder(context)
            val file = File(folder, pictureName())
            try {
                folder.mkdirs()
                file.outputStream().use { it.writePicture(bitmap) }
            } catch (error: IOException) {
                file.delete()
                throw DemoException(Message(R.string.cannot_save, error.message.orEmpty()), error)
            }
            // The last ones stay, since another app may still be reading them.
            folder.listFiles().orEmpty().sortedDescending().drop(KEPT).forEach { it.delete() }
            return Uri.Builder().scheme(ContentResolver.SCHEME_CONTENT).authority(AUTHORITY)
                .appendPath(file.name).build()
        }

        private fun folder(context: Context) = File(context.cacheDir, "shared")
    }
}
