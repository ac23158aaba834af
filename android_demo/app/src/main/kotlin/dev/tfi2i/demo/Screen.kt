package dev.tfi2i.demo

import android.app.Activity
import android.view.View
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.ProgressBar
import android.widget.SeekBar
import android.widget.Spinner
import android.widget.TextView
import dev.tfi2i.core.Fit
import dev.tfi2i.core.ModelCard
import dev.tfi2i.core.Size
import kotlin.math.roundToInt

/** The views of the main screen: they show a [ScreenState], and tell what is chosen. */
class Screen(
    private val activity: Activity,
    shelf: ModelShelf,
    private val choose: (Choice) -> Unit,
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
    private val families = ModelFamily.of(shelf.cards)
    private var shown: Choice? = null

    /** Of the translation, from 0 to 1. */
    val strength: Float get() = strengthBar.progress.toFloat() / strengthBar.max

    /** Where the divider is, from 0 to 1. */
    var divider: Float by compare::divider

    init {
        fill(model, ModelFamily.labels(families, activity.resources))
        strengthBar.setOnSeekBarChangeListener(object : SeekBar.OnSeekBarChangeListener {
            override fun onProgressChanged(bar: SeekBar, value: Int, byUser: Boolean) {
                compare.strength = strength
            }

            override fun onStartTrackingTouch(bar: SeekBar) = Unit

            override fun onStopTrackingTouch(bar: SeekBar) = Unit
        })
        onChoice(model) { tell(families[it].card(shown?.card?.direction)) }
        onChoice(direction) { index -> family()?.cards?.getOrNull(index)?.let(::tell) }
        onChoice(size) { index -> sizes().getOrNull(index)?.let(::tell) }
        onChoice(fit) { index -> shown?.let { choose(it.copy(fit = Fit.entries[index])) } }
    }

    fun show(state: ScreenState) {
        showChoice(state.choice)
        val photo = state.photo
        empty.visibility = if (photo == null) View.VISIBLE else View.GONE
        compare.visibility = if (photo == null) View.GONE else View.VISIBLE
        if (photo != null) compare.show(photo.shown, state.translation?.shown)
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
        strengthBar.isEnabled = state.translation != null
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
            fill(direction, family.cards.map { directionLabel(it, activity.resources) })
            direction.setSelection(family.cards.indexOf(choice.card))
            fill(size, sizes().map { sizeLabel(it, activity.resources) })
            size.setSelection(sizes().indexOf(choice.size))
        }
        direction.isEnabled = direction.count > 1
        size.isEnabled = size.count > 1
        fit.setSelection(choice.fit.ordinal)
    }

    private fun family(): ModelFamily? = families.find { shown?.card in it.cards }

    private fun sizes() = shown?.card?.let(::sizesOf).orEmpty()

    private fun tell(card: ModelCard) {
        val before = shown ?: return
        if (card != before.card) choose(before.copy(card = card, size = sizesOf(card).first()))
    }

    private fun tell(size: Size) {
        shown?.let { choose(it.copy(size = size)) }
    }

    private fun fill(spinner: Spinner, labels: List<String>) {
        val adapter = ArrayAdapter(activity, android.R.layout.simple_spinner_item, labels)
        adapter.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item)
        spinner.adapter = adapter
    }

    /** [chosen] is also called at the start, and for what [showChoice] selects. */
    private fun onChoice(spinner: Spinner, chosen: (Int) -> Unit) {
        spinner.onItemSelectedListener = object : AdapterView.OnItemSelectedListener {
            override fun onItemSelected(
                parent: AdapterView<*>,
                view: View?,
                position: Int,
                id: Long,
            ) = chosen(position)

            override fun onNothingSelected(parent: AdapterView<*>) = Unit
        }
    }
}
