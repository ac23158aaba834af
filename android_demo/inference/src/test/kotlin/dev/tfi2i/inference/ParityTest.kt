package dev.tfi2i.inference

import dev.tfi2i.core.Generator
import dev.tfi2i.core.Io
import dev.tfi2i.core.NO_PICTURE
import dev.tfi2i.core.Sidecar
import org.junit.AfterClass
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test

/** Answers of the app's classes, against Python's by the same file. */
class ParityTest {
    @Before fun models() = Models.needed()

    @Test fun `the CompiledModel answers every float file of fixed size as Python does`() {
        val cases = Models.cases.filter { it.sidecar.io == Io.FLOAT && !it.sidecar.isFree }
        for (case in cases) {
            same("CompiledModel", case) { threads ->
                CompiledModelGenerator.open(case.model, case.sidecar, case.size, false, threads)
            }
        }
    }

    @Test fun `the Interpreter answers every file as Python does`() {
        for (case in Models.cases.filter { it.prepared }) {
            same("Interpreter", case) { threads ->
                InterpreterGenerator.open(case.model, case.sidecar, case.size, threads)
            }
        }
    }

    @Test fun `the Interpreter refuses a file that states a size nobody can compute`() {
        for (case in Models.cases.filterNot { it.prepared }) {
            val error = assertThrows(InferenceException::class.java) {
                InterpreterGenerator.open(case.model, case.sidecar, case.size)
            }
            assertTrue(error.message.orEmpty().startsWith("${case.sidecar.file} cannot be run ("))
            assertEquals(0, alive.get())
        }
    }

    @Test fun `the models are of every format, type, padding and kind of size`() {
        val sidecars = Models.cases.map { it.sidecar }
        for (io in Io.entries) {
            assertEquals(FORMATS, sidecars.filter { it.io == io }.map { it.format }.toSet())
        }
        assertTrue(sidecars.any { it.name.endsWith("-mirror") })
        assertTrue(sidecars.any { it.sizes.size > 1 })
        assertTrue(sidecars.any { it.isFree })
    }

    @Test fun `some models take a style and a label, which change the picture`() {
        for (name in listOf("any-float32", "any-int8-uint8", "any-float32-dynamic")) {
            val (first, other) = Models.cases.filter { it.sidecar.name == name }
            assertEquals(setOf("style", "label"), first.inputs.keys)
            assertFalse(first.levels.contentEquals(other.levels))
            InterpreterGenerator.open(first.model, first.sidecar, first.size).use {
                it.run(other.image, other.inputs)
                assertArrayEquals("the first choices", first.values, it.run(first.image), 0f)
            }
        }
    }

    @Test fun `some models are samplers, which take no picture`() {
        val (first, other) = Models.cases.filter { it.sidecar.name == "sample-float32" }
        assertTrue(first.sidecar.isSampler)
        assertEquals(0, first.image.size)
        assertFalse(first.levels.contentEquals(other.levels))
        InterpreterGenerator.open(first.model, first.sidecar).use {
            assertArrayEquals("the first choices", first.values, it.run(NO_PICTURE), 0f)
            assertArrayEquals(other.values, it.run(NO_PICTURE, other.inputs), 0f)
            assertThrows(InferenceException::class.java) { it.run(FloatArray(other.values.size)) }
        }
    }

    @Test fun `some models take a second picture`() {
        val (first, other) = Models.cases.filter { it.sidecar.name == "a2b-second-float32" }
        assertEquals(listOf("reference"), first.sidecar.secondPictures)
        assertFalse(first.levels.contentEquals(other.levels))
        InterpreterGenerator.open(first.model, first.sidecar).use {
            assertThrows(InferenceException::class.java) { it.run(first.image) }
        }
    }

    @Test fun `some models take or make grey, of which a picture in colour becomes the luminance`() {
        val grey = Models.cases.map { it.sidecar }.filter { 1 in it.channels }
        val pairs = setOf(listOf(1, 1), listOf(1, 3), listOf(3, 1))
        assertEquals(pairs, grey.map { it.channels }.toSet())
        assertTrue(grey.any { it.isFree } && grey.any { it.io == Io.UINT8 })
        val case = Models.case("grey2rgb-int8-uint8")
        assertEquals(listOf(64 * 64, 3 * 64 * 64), listOf(case.image.size, case.values.size))
        InterpreterGenerator.open(case.model, case.sidecar).use {
            val colour = FloatArray(3 * case.image.size)
            val error = assertThrows(InferenceException::class.java) { it.run(colour) }
            val takes = "takes pictures of 64 x 64, which have 4096 values, not 12288."
            assertEquals("${case.sidecar.file} $takes", error.message)
        }
    }

    private val Sidecar.channels: List<Int> get() = listOf(takenChannels, madeChannels)

    private fun same(engine: String, case: Case, open: (threads: Int) -> Generator) {
        for (threads in 1..2) {
            open(threads).use { generator ->
                assertEquals("CPU", generator.accelerator)
                assertEquals(case.size.height, generator.height)
                assertEquals(case.size.width, generator.width)
                val values = generator.run(case.image, case.inputs)
                note(engine, case, values)
                assertArrayEquals("$engine $case", case.levels, case.levelsOf(values))
                assertArrayEquals("$engine $case", case.values, values, 0f)
                val again = generator.run(case.image, case.inputs)
                assertArrayEquals("$engine $case again", values, again, 0f)
            }
        }
        assertEquals("All native memory is given back.", 0, alive.get())
    }

    private fun note(engine: String, case: Case, values: FloatArray) {
        val equal = values.indices.count { values[it].toRawBits() == case.values[it].toRawBits() }
        val largest = values.indices.maxOf { Math.abs(values[it] - case.values[it]) }
        table["%-14s %-34s".format(engine, case)] =
            "%6d of %6d  %s".format(equal, values.size, largest)
    }

    companion object {
        private val FORMATS =
            setOf("float32", "float16", "int8", "int8-fast", "int8-hq", "int8-npu", "auto")
        private val table = LinkedHashMap<String, String>()

        @AfterClass @JvmStatic
        fun print() {
            if (table.isEmpty()) return
            println("\nengine         file and size                      equal values  most apart")
            for ((what, parity) in table) println("$what $parity")
        }
    }
}
