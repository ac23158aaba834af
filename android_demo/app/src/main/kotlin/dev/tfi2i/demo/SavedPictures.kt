package dev.tfi2i.demo

import android.Manifest
import android.content.ContentValues
import android.content.Context
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.media.MediaScannerConnection
import android.os.Build
import android.os.Environment
import android.provider.MediaStore
import java.io.File
import java.io.IOException

/** The phone's own pictures, where translations are saved. */
class SavedPictures(private val context: Context) {
    /** The permission without which [save] would be refused; null: it needs none, or has it. */
    val missingPermission: String?
        get() = Manifest.permission.WRITE_EXTERNAL_STORAGE.takeIf {
            Build.VERSION.SDK_INT < Build.VERSION_CODES.Q &&
                context.checkSelfPermission(it) != PackageManager.PERMISSION_GRANTED
        }

    /**
     * Saves a picture and gives the place, in words.
     *
     * @throws DemoException there is no room, or the phone refuses.
     */
    fun save(bitmap: Bitmap): String {
        val name = pictureName()
        try {
            if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) {
                insert(bitmap, name)
            } else {
                write(bitmap, name)
            }
        } catch (error: IOException) {
            throw DemoException(Message(R.string.cannot_save, error.message.orEmpty()), error)
        } catch (error: SecurityException) {
            throw DemoException(Message(R.string.save_denied), error)
        }
        return "$PLACE/$name"
    }

    /** Through MediaStore, where others see the picture when it is complete. */
    private fun insert(bitmap: Bitmap, name: String) {
        val resolver = context.contentResolver
        val values = ContentValues().apply {
            put(MediaStore.Images.Media.DISPLAY_NAME, name)
            put(MediaStore.Images.Media.MIME_TYPE, PICTURE_TYPE)
            put(MediaStore.Images.Media.RELATIVE_PATH, PLACE)
            put(MediaStore.Images.Media.IS_PENDING, 1)
        }
        val uri = resolver.insert(MediaStore.Images.Media.EXTERNAL_CONTENT_URI, values)
            ?: throw refused()
        try {
            val stream = resolver.openOutputStream(uri) ?: throw refused()
            stream.use { it.writePicture(bitmap) }
            val complete = ContentValues().apply { put(MediaStore.Images.Media.IS_PENDING, 0) }
            resolver.update(uri, complete, null, null)
        } catch (error: IOException) {
            resolver.delete(uri, null, null)
            throw error
        }
    }

    private fun refused() = IOException("MediaStore takes no picture.")

    @Suppress("DEPRECATION") // the way before API 29
    private fun write(bitmap: Bitmap, name: String) {
        val pictures = Environment.getExternalStoragePublicDirectory(Environment.DIRECTORY_PICTURES)
        val folder = File(pictures, FOLDER)
        if (!folder.isDirectory && !folder.mkdirs()) throw IOException("$folder cannot be made.")
        val file = File(folder, name)
        file.outputStream().use { it.writePicture(bitmap) }
        MediaScannerConnection.scanFile(context, arrayOf(file.path), arrayOf(PICTURE_TYPE), null)
    }

    private companion object {
        const val FOLDER = "tfi2i"
        val PLACE = "${Environment.DIRECTORY_PICTURES}/$FOLDER"
    }
}
