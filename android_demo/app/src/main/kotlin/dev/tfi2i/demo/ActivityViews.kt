package dev.tfi2i.demo

import android.app.Activity
import android.os.Build
import android.view.View
import android.view.WindowInsets

/** The view of an id that the activity's layout has. */
fun <T : View> Activity.view(id: Int): T = checkNotNull(findViewById<T>(id))

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
