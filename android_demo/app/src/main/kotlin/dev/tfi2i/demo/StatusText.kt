package dev.tfi2i.demo

import android.content.res.Resources
import kotlin.math.floor

/** The main screen's words. */
class StatusText(private val resources: Resources, private val shelf: ModelShelf) {
    fun of(state: ScreenState): String {
        val lines = mutableListOf<String>()
        working(state.work)?.let(lines::add)
        state.notice?.let { lines += it.text(resources) }
        if (state.work == Work.None) {
            val samples = state.choice.sidecar?.isSampler == true
            val photo = state.photo?.takeUnless { samples }
            photo?.let(::reduced)?.let(lines::add)
            val words = if (samples) R.string.made else R.string.done
            state.translation?.let { lines += done(it, words) }
            photo?.let(::valueRange)?.let(lines::add)
        }
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

    /** Which numbers of a photo's file are black and white, if the model says so. */
    private fun valueRange(photo: Photo): String? {
        val range = photo.reading.range ?: return null
        val words = if (photo.isDeep) R.string.read_in_range else R.string.read_as_8_bits
        if (!photo.isDeep && !range.isDeep) return null
        return resources.getString(words, plain(range.black), plain(range.white))
    }

    /** A number without a fraction of zero. */
    private fun plain(value: Double): String =
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
