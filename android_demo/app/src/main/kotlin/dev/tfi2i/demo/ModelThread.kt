package dev.tfi2i.demo

import dev.tfi2i.core.Generator
import dev.tfi2i.core.Sidecar
import dev.tfi2i.core.Size
import java.util.concurrent.Executors

/** The one thread that loads and runs models, and the one model that is open at a time. */
class ModelThread(private val shelf: ModelShelf) {
    private val executor = Executors.newSingleThreadExecutor { Thread(it, "model") }
    private var opened: Opened? = null

    private class Opened(val sidecar: Sidecar, val size: Size, val generator: Generator)

    /** Does a task after those before it. */
    fun execute(task: () -> Unit) = executor.execute(task)

    /** The generator of a model for a size, opened unless it is; for tasks on this thread alone. */
    fun generator(sidecar: Sidecar, size: Size): Generator {
        opened?.let {
            if (it.sidecar == sidecar && it.size == size) return it.generator
            close()
        }
        val generator = openGenerator(shelf.file(sidecar), sidecar, size)
        opened = Opened(sidecar, size, generator)
        return generator
    }

    /** Gives the model's memory back after the tasks before; the next task opens it again. */
    fun release() = execute(::close)

    private fun close() {
        opened?.generator?.close()
        opened = null
    }
}
