package dev.tfi2i.demo

import android.app.Activity
import android.os.Build
import android.view.View
import android.view.WindowInsets
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.Spinner

/** The view of an id that the activity's layout has. */
fun <T : View> Activity.view(id: Int): T = checkNotNull(findViewById<T>(id))

/** Offers texts to choose from. */
fun Spinner.fill(labels: List<String>) {
    val texts = ArrayAdapter(context, android.R.layout.simple_spinner_item, labels)
    texts.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item)
    adapter = texts
}

/** [chosen] is also called at the start, and for what the app itself selects. */
fun Spinner.onChoice(chosen: (Int) -> Unit) {
    onItemSelectedListener = object : AdapterView.OnItemSelectedListener {
        override fun onItemSelected(parent: AdapterView<*>, view: View?, position: Int, id: Long) =
            chosen(position)

        override fun onNothingSelected(parent: AdapterView<*>) = Unit
    }
}

/** Draws behind the system's bars, which do not cover what is in [content]. */
fun Activity.drawEdgeToEdge(content: View) {
    // Before API 30 the system keeps the content within the bars, as is the default there.
    if (Build.VERSION.SDK_INT < Build.VERSION_CODES.R) return
    @Suppress("DEPRECATION") // the default from API 35 on
    window.setDecorFitsSystemWindows(false)
    content.setOnApplyWindowInsetsListener { view, insets ->
        val kinds = WindowInsets.Type.systemBars() or WindowInsets.Type.displayCutout()
        val bars = insets.getInsets(kinds)
        view.setPadding(bars.left, bars.top, bars.right, bars.bottom)
        WindowInsets.CONSUMED
    }
}
