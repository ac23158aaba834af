package dev.tfi2i.demo

import android.graphics.Bitmap
import android.net.Uri
import dev.tfi2i.core.Fit
import dev.tfi2i.core.Sidecar
import dev.tfi2i.core.Pixels
import dev.tfi2i.core.Reading
import dev.tfi2i.core.Size

/**
 * The chosen way to translate; null in [sidecar]: the app has no models.
 *
 * @property chosen by the name of an input besides the picture the index among its choices; of
 *   others it is the first.
 */
data class Choice(
    val sidecar: Sidecar?,
    val size: Size?,
    val fit: Fit,
    val chosen: Map<String, Int> = emptyMap(),
) {
    /** The way in which the model reads photos. */
    val reading: Reading get() = sidecar?.reading ?: Reading()
}

/** A translated photo, of the photo's size, or what a sampler made; and how it came about. */
class Translation(
    val pixels: Pixels,
    val shown: Bitmap,
    val milliseconds: Long,
    val accelerator: String,
    val fallbackReason: String?,
)

/** Work that goes on in the background. */
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
    /** Pictures for the inputs that are pictures besides the photo, by name. */
    val pictures: Map<String, Photo> = emptyMap(),
    val translation: Translation? = null,
    val work: Work = Work.None,
    val notice: Message? = null,
    /** A written picture for which other apps are to be offered. */
    val toShare: Uri? = null,
)
