package dev.tfi2i.demo

import dev.tfi2i.core.Generator
import dev.tfi2i.core.Io
import dev.tfi2i.core.Sidecar
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
fun openGenerator(model: File, sidecar: Sidecar, size: Size): Generator {
    if (sidecar.io == Io.UINT8 || sidecar.isFree) {
        return InterpreterGenerator.open(model, sidecar, size)
    }
    val refusal = try {
        return CompiledModelGenerator.open(model, sidecar, size)
    } catch (error: InferenceException) {
        error.message.orEmpty()
    } catch (error: LinkageError) { // no library of LiteRT's for this processor
        error.toString()
    }
    return Explained(InterpreterGenerator.open(model, sidecar, size), refusal)
}

private class Explained(generator: Generator, override val fallbackReason: String) :
    Generator by generator
