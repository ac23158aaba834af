package dev.tfi2i.core

import org.json.JSONArray
import org.json.JSONObject

/**
 * A value of a sidecar, and where it stands there.
 *
 * Types are checked here and not by org.json, whose getters make numbers of texts and texts of
 * anything, Android's more so than others.
 */
internal class SidecarField(private val value: Any?, private val where: String = "") {
    /** The field of an object; it has to be there. */
    operator fun get(key: String): SidecarField {
        val json = value as? JSONObject ?: throw wrong("an object")
        if (!json.has(key)) throw damaged("${where.ifEmpty { "the file" }} lacks $key")
        return SidecarField(json.opt(key), if (where.isEmpty()) key else "$where.$key")
    }

    /** The field of an object, where files that are older may lack it; null too for null. */
    fun optional(key: String): SidecarField? =
        if ((value as? JSONObject)?.isNull(key) == false) get(key) else null

    fun items(): List<SidecarField> {
        val json = value as? JSONArray ?: throw wrong("an array")
        return List(json.length()) { SidecarField(json.opt(it), "$where[$it]") }
    }

    fun items(most: Int): List<SidecarField> =
        items().also { if (it.size > most) throw wrong("$most entries at most") }

    /** Numbers that are nested as [shape], in its order. */
    fun floats(shape: List<Int>): List<Float> {
        if (shape.isEmpty()) {
            val float = number().toFloat()
            return if (float.isFinite()) listOf(float) else throw wrong("a float32 number")
        }
        val items = items()
        if (items.size != shape.first()) throw wrong("numbers nested as $shape")
        return items.flatMap { it.floats(shape.drop(1)) }
    }

    fun text(): String = value as? String ?: throw wrong("a string")

    fun text(pattern: Regex): String =
        text().also { if (!pattern.matches(it)) throw wrong("as ${pattern.pattern}") }

    fun oneOf(vararg words: String): String =
        text().also { if (it !in words) throw wrong(words.joinToString(" or ")) }

    fun flag(): Boolean = value as? Boolean ?: throw wrong("true or false")

    fun whole(range: LongRange): Long {
        val number = (value as? Int)?.toLong() ?: value as? Long ?: throw wrong("an integer")
        if (number !in range) throw wrong("from ${range.first} to ${range.last}")
        return number
    }

    fun whole(range: IntRange): Int = whole(range.first.toLong()..range.last.toLong()).toInt()

    fun number(): Double =
        (value as? Number)?.toDouble()?.takeIf { it.isFinite() } ?: throw wrong("a number")

    /** Gives what [read] makes of it, or null where the file has null. */
    fun <T> orNull(read: SidecarField.() -> T): T? = if (value == JSONObject.NULL) null else read()

    fun wrong(wanted: String): SidecarException =
        damaged("${where.ifEmpty { "the file" }} is ${shown()} and has to be $wanted")

    private fun shown(): String {
        val text = if (value is String) JSONObject.quote(value) else value.toString()
        return if (text.length <= LONGEST_SHOWN) text else text.take(LONGEST_SHOWN - 1) + "…"
    }

    private companion object {
        const val LONGEST_SHOWN = 60
    }
}

internal fun damaged(problem: String) =
    SidecarException("This is not a usable sidecar: $problem; export the model again.")
