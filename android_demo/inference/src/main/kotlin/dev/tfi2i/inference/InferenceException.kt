package dev.tfi2i.inference

/** A model that cannot be opened or run; the message is a sentence for people. */
class InferenceException(message: String, cause: Throwable? = null) : Exception(message, cause)

/**
 * Runs [call], which goes into native code; whatever that throws becomes a sentence.
 *
 * The runtimes throw exceptions of their own, those of wrong arguments and states, and linkage
 * errors where a phone has no library for its processor.
 */
internal inline fun <T> explained(problem: String, call: () -> T): T =
    try {
        call()
    } catch (error: InferenceException) {
        throw error
    } catch (error: Exception) {
        throw InferenceException("$problem (${error.brief()}).", error)
    } catch (error: LinkageError) {
        throw InferenceException("$problem (${error.brief()}).", error)
    }

/** The first line of what it says, or its kind. */
internal fun Throwable.brief(): String {
    val line = message.orEmpty().lineSequence().map(String::trim).firstOrNull(String::isNotEmpty)
    return (line ?: javaClass.simpleName).take(LONGEST_REASON).trimEnd('.')
}

private const val LONGEST_REASON = 200
