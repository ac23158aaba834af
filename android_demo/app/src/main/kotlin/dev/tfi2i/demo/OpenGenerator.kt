package dev.tfi2i.demo

import dev.tfi2i.core.Generator
import dev.tfi2i.core.Io
import dev.tfi2i.core.ModelCard
import dev.tfi2i.core.Size
import dev.tfi2i.inference.CompiledModelGenerator
import dev.tfi2i.inference.InferenceException
import dev.tfi2i.inference.InterpreterGenerator
import java.io.File

/**
 * A model on the fastest way that takes it: LiteRT's CompiledModel on the GPU, on the CPU, and then
 * the Interpreter, which is alone in taking uint8 pictures and free sizes.
 *
 * @throws InferenceException no way takes it.
 */
fun openGenerator(model: File, card: ModelCard, size: Size): Generator {
    if (card.io == Io.UINT8 || card.isFree) return InterpreterGenerator.open(model, card, size)
    val refusal = try {
        return CompiledModelGenerator.open(model, card, size)
    } catch (error: InferenceException) {
        error.message.orEmpty()
    } catch (error: LinkageError) { // no library of LiteRT's for this processor
        error.toString()
    }
    return Explained(InterpreterGenerator.open(model, card, size), refusal)
}

private class Explained(generator: Generator, override val fallbackReason: String) :
    Generator by generator
