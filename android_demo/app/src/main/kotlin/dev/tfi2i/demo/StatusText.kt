package dev.tfi2i.demo

import android.content.res.Resources
import dev.tfi2i.core.Sidecar
import kotlin.math.floor

/** The main screen's words. */
class StatusText(private val resources: Resources, private val shelf: ModelShelf) {
    fun of(state: ScreenState): String {
        val lines = mutableListOf<String>()
        working(state.work)?.let(lines::add)
        state.notice?.let { lines += it.text(resources) }
        if (state.work == Work.None) {
            val samples = state.choice.sidecar?.isSampler == true
            state.photo?.takeUnless { samples }?.let(::reduced)?.let(lines::add)
            val words = if (samples) R.string.made else R.string.done
            state.translation?.let { lines += done(it, words) }
        }
        if (state.work == Work.None) state.choice.sidecar?.let(::valueRange)?.let(lines::add)
        if (state.photo == null) shelf.problems.mapTo(lines) { it.text(resources) }
        if (shelf.sidecars.isEmpty()) lines += resources.getString(R.string.no_models)
        return lines.distinct().joinToString("\n")
    }

    private fun working(work: Work): String? = when (work) {
        Work.None -> null
        Work.Reading -> resources.getString(R.string.reading)
        Work.OpeningModel -> resources.getString(R.string.opening_model)
        Work.Writing -> resources.getString(R.string.writing)
        // In tenths: TalkBack says each change.
        is Work.Translating ->
            resources.getString(R.string.translating, floor(work.done * 10).toInt() * 10)
    }

    private fun reduced(photo: Photo): String? = photo.stored?.let {
        val pixels = photo.pixels
        resources.getString(R.string.reduced, it.width, it.height, pixels.width, pixels.height)
    }

    private fun valueRange(sidecar: Sidecar): String? {
        val (black, white) = sidecar.valueRange.ifEmpty { return null }.map(::plain)
        return resources.getString(R.string.value_range, black, white)
    }

    /** A number without a fraction of zero. */
    private fun plain(value: Float): String =
        if (value == floor(value)) value.toLong().toString() else value.toString()

    private fun done(translation: Translation, words: Int): List<String> = listOfNotNull(
        resources.getString(
            words,
            translation.pixels.width,
            translation.pixels.height,
            translation.milliseconds,
            translation.accelerator,
        ),
        translation.fallbackReason?.let { resources.getString(R.string.fallback, it) },
    )
}
