package dev.tfi2i.inference

import com.sun.jna.Library
import com.sun.jna.NativeLibrary
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Assume.assumeTrue
import org.junit.BeforeClass
import org.junit.Test
import org.tensorflow.lite.Interpreter
import kotlin.math.abs
import kotlin.math.log10
import kotlin.math.pow

/**
 * InterpreterGenerator on TensorFlow Lite 2.16.1 itself, which inference/host/tflite.sh sets up.
 *
 * It is older than the LiteRT that Python has, so its sums may differ in their last bits; and where
 * weights alone are of 8 bits, it rounds what goes into a convolution in another way.
 */
class TfLiteTest {
    @Test fun `it is TensorFlow Lite, not the double`() =
        assertEquals("org.tensorflow.lite.InterpreterImpl", Interpreter::class.java.superclass.name)

    @Test fun `it answers every file, nearly as Python does`() {
        val exact = Models.case("a2b-float32")
        println(ROW.format("file and size", "levels off", "most", "to Python", "to float32"))
        for (case in Models.cases.filter { it.prepared }) {
            val answer = InterpreterGenerator.open(case.model, case.sidecar, case.size)
                .use { case.levelsOf(it.run(case.image, case.inputs)) }
            val apart = IntArray(answer.size) { abs(answer[it] - case.levels[it]) }
            val toPython = decibels(answer, case.levels)
            val comparable = case.size == exact.size && case.sidecar.run == exact.sidecar.run
            val toFloat = if (comparable) decibels(answer, exact.levels) else Double.NaN
            val off = "${apart.count { it > 0 }} of ${answer.size}"
            println(ROW.format(case, off, apart.max(), inWords(toPython), inWords(toFloat)))
            if (case.sidecar.format in SAME) {
                val isRounding = apart.max() <= 1 && 1000 * apart.count { it > 0 } <= answer.size
                assertTrue("$case has $off levels off", isRounding)
            }
            assertTrue("$case is ${apart.max()} levels off", apart.max() <= MOST_LEVELS)
            assertTrue("$case is $toPython dB off", toPython >= LEAST_DECIBELS)
            if (comparable) {
                val least = decibels(case.levels, exact.levels) - MOST_DECIBELS_LOST
                assertTrue("$case is $toFloat dB off float32, not $least", toFloat >= least)
            }
        }
    }

    @Test fun `a file that states a size nobody can compute is refused`() {
        for (case in Models.cases.filterNot { it.prepared }) {
            val error = assertThrows(InferenceException::class.java) {
                InterpreterGenerator.open(case.model, case.sidecar, case.size)
            }
            assertTrue(error.message.orEmpty().startsWith("${case.sidecar.file} cannot be run ("))
        }
    }

    @Test fun `nothing runs after closing`() {
        val case = Models.case("a2b-int8")
        val generator = InterpreterGenerator.open(case.model, case.sidecar)
        generator.close()
        generator.close()
        assertThrows(InferenceException::class.java) { generator.run(case.image) }
    }

    private fun inWords(decibels: Double) = "%.1f dB".format(decibels)

    private fun decibels(one: IntArray, other: IntArray): Double {
        val squares = one.indices.map { (one[it] - other[it]).toDouble().pow(2) }
        return 10 * log10(255.0.pow(2) / squares.average())
    }

    companion object {
        private const val ROW = "%-28s %14s %5s %12s %12s"

        // A file of 8 bits is some 45 dB off float32 here and in Python: so 42 dB off each other,
        // eight times whose mean is 16 levels. The weights, and with them the figures, differ by
        // the machine that trained them.
        private const val MOST_LEVELS = 16
        private const val LEAST_DECIBELS = 41.0
        private const val MOST_DECIBELS_LOST = 2.0

        /** Formats that no way of rounding between the layers touches; sums differ by processor. */
        private val SAME = setOf("float32", "float16", "int8-npu")

        private const val LAZY = 1 // RTLD_LAZY
        private const val OWN_NAMES_FIRST = 8 // RTLD_DEEPBIND

        /** The libraries, which are closed when nothing refers to them. */
        private val kept = mutableListOf<NativeLibrary>()

        @BeforeClass @JvmStatic
        fun load() {
            val folder = System.getProperty("dev.tfi2i.tflite")
            assumeTrue("inference/host/tflite.sh runs this.", folder != null)
            Models.needed()
            // Java finds both loaded then, with what stands in before glibc's of the same name.
            load("$folder/liblog.so", LAZY)
            load("$folder/libtensorflowlite_jni.so", LAZY or OWN_NAMES_FIRST)
        }

        private fun load(path: String, flags: Int) {
            kept += NativeLibrary.getInstance(path, mapOf(Library.OPTION_OPEN_FLAGS to flags))
        }
    }
}
