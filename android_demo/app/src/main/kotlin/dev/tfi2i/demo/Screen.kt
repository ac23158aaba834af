package dev.tfi2i.demo

import android.app.Activity
import android.view.View
import android.widget.ProgressBar
import android.widget.SeekBar
import android.widget.Spinner
import android.widget.TextView
import dev.tfi2i.core.Fit
import dev.tfi2i.core.Sidecar
import dev.tfi2i.core.Size
import kotlin.math.roundToInt

/** The views of the main screen: they show a [ScreenState], and tell what is chosen. */
class Screen(
    private val activity: Activity,
    shelf: ModelShelf,
    private val choose: (Choice) -> Unit,
    pickSecond: (String) -> Unit,
) {
    private val compare: CompareView = activity.view(R.id.compare)
    private val empty: View = activity.view(R.id.empty)
    private val status: TextView = activity.view(R.id.status)
    private val working: View = activity.view(R.id.working)
    private val progress: ProgressBar = activity.view(R.id.progress)
    private val strengthBar: SeekBar = activity.view(R.id.strength)
    private val model: Spinner = activity.view(R.id.model)
    private val direction: Spinner = activity.view(R.id.direction)
    private val size: Spinner = activity.view(R.id.size)
    private val fit: Spinner = activity.view(R.id.fit)
    private val cancel: View = activity.view(R.id.cancel)
    private val finishing: List<View> = listOf(R.id.save, R.id.share).map { activity.view(it) }
    private val statusText = StatusText(activity.resources, shelf)
    private val families = ModelFamily.of(shelf.sidecars)
    private val make: View = activity.view(R.id.make)
    private val pick: View = activity.view(R.id.pick)
    private val inputs = InputChoices(
        activity,
        choose = { chosen -> shown?.let { choose(it.copy(chosen = chosen)) } },
        pick = pickSecond,
    )
    private var shown: Choice? = null

    /** Strength of the translation, from 0 to 1. */
    val strength: Float get() = strengthBar.progress.toFloat() / strengthBar.max

    /** Place of the divider, from 0 to 1. */
    var divider: Float by compare::divider

    init {
        model.fill(ModelFamily.labels(families, activity.resources))
        strengthBar.setOnSeekBarChangeListener(object : SeekBar.OnSeekBarChangeListener {
            override fun onProgressChanged(bar: SeekBar, value: Int, byUser: Boolean) {
                compare.strength = strength
            }

            override fun onStartTrackingTouch(bar: SeekBar) = Unit

            override fun onStopTrackingTouch(bar: SeekBar) = Unit
        })
        model.onChoice { tell(families[it].sidecar(shown?.sidecar?.direction)) }
        direction.onChoice { index -> family()?.sidecars?.getOrNull(index)?.let(::tell) }
        size.onChoice { index -> sizes().getOrNull(index)?.let(::tell) }
        fit.onChoice { index -> shown?.let { choose(it.copy(fit = Fit.entries[index])) } }
    }

    fun show(state: ScreenState) {
        showChoice(state.choice)
        val samples = state.choice.sidecar?.isSampler == true
        val made = state.translation?.shown
        val photo = if (samples) made else state.photo?.shown
        make.visibility = if (samples) View.VISIBLE else View.GONE
        pick.visibility = if (samples) View.GONE else View.VISIBLE
        fit.isEnabled = !samples
        empty.visibility = if (photo == null) View.VISIBLE else View.GONE
        compare.visibility = if (photo == null) View.GONE else View.VISIBLE
        if (photo != null) compare.show(photo, made.takeUnless { samples })
        compare.strength = strength
        showText(statusText.of(state))
        val work = state.work
        working.visibility = if (work == Work.None) View.GONE else View.VISIBLE
        cancel.visibility = if (work == Work.Writing) View.GONE else View.VISIBLE
        val done = (work as? Work.Translating)?.done ?: 0f
        progress.isIndeterminate = done == 0f // as one piece it has no parts to count
        progress.progress = (done * progress.max).roundToInt()
        val finished = state.translation != null && work == Work.None
        finishing.forEach { it.isEnabled = finished }
        strengthBar.isEnabled = state.translation != null && !samples
    }

    /** Only what is new, or TalkBack would say the same again and again. */
    private fun showText(text: String) {
        if (status.text.toString() != text) status.text = text
    }

    private fun showChoice(choice: Choice) {
        if (choice == shown) return
        shown = choice
        model.isEnabled = families.size > 1
        val family = family()
        if (family != null) {
            model.setSelection(families.indexOf(family))
            direction.fill(family.sidecars.map { directionLabel(it, activity.resources) })
            direction.setSelection(family.sidecars.indexOf(choice.sidecar))
            size.fill(sizes().map { sizeLabel(it, activity.resources) })
            size.setSelection(sizes().indexOf(choice.size))
        }
        direction.isEnabled = direction.count > 1
        size.isEnabled = size.count > 1
        inputs.show(choice.sidecar, choice.chosen)
        fit.setSelection(choice.fit.ordinal)
    }

    private fun family(): ModelFamily? = families.find { shown?.sidecar in it.sidecars }

    private fun sizes() = shown?.sidecar?.let(::sizesOf).orEmpty()

    private fun tell(sidecar: Sidecar) {
        val before = shown ?: return
        if (sidecar == before.sidecar) return
        choose(Choice(sidecar, sizesOf(sidecar).first(), before.fit))
    }

    private fun tell(size: Size) {
        shown?.let { choose(it.copy(size = size)) }
    }
}
