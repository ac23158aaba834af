package dev.tfi2i.demo

import android.content.res.Resources

/** A text of strings.xml and what fills it in; put together when shown, in the language of then. */
class Message(private val id: Int, private vararg val arguments: Any) {
    fun text(resources: Resources): String = resources.getString(id, *arguments)
}

/** A failure that is no mistake of this app's; [words] tell it. */
class DemoException(val words: Message, cause: Throwable? = null) : Exception(cause)
