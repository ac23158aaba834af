package dev.tfi2i.demo

import dev.tfi2i.core.PictureException
import dev.tfi2i.core.SidecarException
import dev.tfi2i.core.TranslationException
import dev.tfi2i.inference.InferenceException

/** Words for a failure that can happen; null: a mistake in this app, which must not hide. */
fun messageOf(failure: Throwable): Message? = when (failure) {
    is DemoException -> failure.words
    is SidecarException, is InferenceException, is TranslationException ->
        Message(R.string.model_failed, failure.message.orEmpty())
    is PictureException -> Message(R.string.photo_unreadable, failure.message.orEmpty())
    is OutOfMemoryError -> Message(R.string.out_of_memory)
    else -> null
}
