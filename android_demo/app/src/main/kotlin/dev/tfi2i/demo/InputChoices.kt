package dev.tfi2i.demo

import android.app.Activity
import android.os.Bundle
import android.view.LayoutInflater
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.Spinner
import android.widget.TextView
import dev.tfi2i.core.Sidecar

/**
 * A list to choose from for each input besides the picture, made for the model that is shown; or a
 * button, where the input is a picture too.
 *
 * @param choose is told all that is chosen then, by the inputs' names.
 * @param pick is told the name of the input that a picture is to be chosen for.
 */
class InputChoices(
    private val activity: Activity,
    private val choose: (Map<String, Int>) -> Unit,
    private val pick: (String) -> Unit,
) {
    private val place: ViewGroup = activity.view(R.id.inputs)
    private var shown: Sidecar? = null
    private var chosen = emptyMap<String, Int>()
    private var spinners = emptyMap<String, Spinner>()

    fun show(sidecar: Sidecar?, chosen: Map<String, Int>) {
        this.chosen = chosen
        if (sidecar != shown) fill(sidecar)
        for ((name, spinner) in spinners) spinner.setSelection(chosen[name] ?: 0)
    }

    private fun fill(sidecar: Sidecar?) {
        shown = sidecar
        place.removeAllViews()
        sidecar?.secondPictures.orEmpty().forEach(::addButton)
        spinners = sidecar?.extraInputs.orEmpty().filterNot { it.isPicture }.associate { input ->
            val field = LayoutInflater.from(activity).inflate(R.layout.input, place, false)
            val label = checkNotNull(field.findViewById<TextView>(R.id.input_name))
            val spinner = checkNotNull(field.findViewById<Spinner>(R.id.choice))
            place.addView(field)
            label.text = input.name
            spinner.id = View.generateViewId() // the layout's own is every list's
            label.labelFor = spinner.id
            spinner.fill(input.choices.map { it.name })
            spinner.isEnabled = input.choices.size > 1
            spinner.onChoice { index ->
                if (index != (chosen[input.name] ?: 0)) choose(chosen + (input.name to index))
            }
            input.name to spinner
        }
    }

    private fun addButton(name: String) {
        val button = Button(activity)
        button.text = activity.getString(R.string.pick_second, name)
        button.setOnClickListener { pick(name) }
        place.addView(button)
    }
}

fun Map<String, Int>.toBundle(): Bundle = Bundle().also { bundle ->
    forEach { (name, index) -> bundle.putInt(name, index) }
}

/** The whole numbers of a bundle, by key. */
fun Bundle.indices(): Map<String, Int> = keySet().associateWith { getInt(it) }
