package dev.tfi2i.demo

import android.app.Application
import android.content.ComponentCallbacks2
import java.io.File

/** The process: it owns the models, and the place where pictures are kept. */
class DemoApplication : Application() {
    val shelf: ModelShelf by lazy { ModelShelf(this) }
    val models: ModelThread by lazy { ModelThread(shelf) }
    val photos: PhotoFiles by lazy { PhotoFiles(contentResolver, File(cacheDir, "photos")) }

    override fun onTrimMemory(level: Int) {
        super.onTrimMemory(level)
        if (level >= ComponentCallbacks2.TRIM_MEMORY_BACKGROUND) models.release()
    }
}
