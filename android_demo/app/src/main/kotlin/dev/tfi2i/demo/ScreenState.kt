package dev.tfi2i.demo

import android.graphics.Bitmap
import android.net.Uri
import dev.tfi2i.core.Fit
import dev.tfi2i.core.ModelCard
import dev.tfi2i.core.Pixels
import dev.tfi2i.core.Size

/** How to translate; null in [card]: the app has no models. */
data class Choice(val card: ModelCard?, val size: Size?, val fit: Fit)

/** A translated photo, of the photo's size, and how it came about. */
class Translation(
    val pixels: Pixels,
    val shown: Bitmap,
    val milliseconds: Long,
    val accelerator: String,
    val fallbackReason: String?,
)

/** What goes on in the background. */
sealed interface Work {
    data object None : Work

    data object Reading : Work

    data object OpeningModel : Work

    /** [done] from 0 to 1. */
    data class Translating(val done: Float) : Work

    data object Writing : Work
}

/** All that the main screen shows. */
data class ScreenState(
    val choice: Choice,
    val photo: Photo? = null,
    val translation: Translation? = null,
    val work: Work = Work.None,
    val notice: Message? = null,
    /** A written picture for which other apps are to be offered. */
    val toShare: Uri? = null,
)
