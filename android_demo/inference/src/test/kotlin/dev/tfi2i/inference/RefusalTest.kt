package dev.tfi2i.inference

import com.google.ai.edge.litert.pretendedGpu
import dev.tfi2i.core.Generator
import dev.tfi2i.core.Sidecar
import dev.tfi2i.core.Size
import org.junit.After
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.MessageDigest
import kotlin.concurrent.thread
import kotlin.math.abs

/** Refusals and their words, after which nothing is left open. */
class RefusalTest {
    @get:Rule val folder = TemporaryFolder()

    @Before fun models() = Models.needed()

    @After fun `all native memory is given back`() {
        pretendedGpu = null
        assertEquals(0, alive.get())
    }

    @Test fun `a GPU that refuses is replaced by the CPU, and the reason is kept`() {
        val case = Models.case("a2b-int8")
        CompiledModelGenerator.open(case.model, case.sidecar).use {
            assertEquals("CPU", it.accelerator)
            val reason = it.fallbackReason.orEmpty()
            val expected = Regex(
                """The GPU is not used: a2b-int8\.tflite cannot be run \(.*status \d+\)\.""",
            )
            assertTrue(reason, expected.matches(reason))
            assertArrayEquals(case.values, it.run(case.image), 0f)
        }
        CompiledModelGenerator.open(case.model, case.sidecar, useGpu = false).use {
            assertNull(it.fallbackReason)
        }
    }

    @Test fun `a GPU that takes the model is used`() {
        val case = Models.case("a2b-float16")
        pretendedGpu = { it }
        CompiledModelGenerator.open(case.model, case.sidecar).use {
            assertEquals("GPU", it.accelerator)
            assertNull(it.fallbackReason)
            assertArrayEquals(case.values, it.run(case.image), 0f)
        }
    }

    @Test fun `a GPU that takes the model and overflows is replaced by the CPU`() {
        val case = Models.case("a2b-float16")
        pretendedGpu = { values -> values.apply { this[7] = Float.POSITIVE_INFINITY } }
        CompiledModelGenerator.open(case.model, case.sidecar).use {
            assertEquals("CPU", it.accelerator)
            val gives = "a2b-float16.tflite gives values that are not finite."
            assertEquals("The GPU is not used: $gives", it.fallbackReason)
            assertArrayEquals(case.values, it.run(case.image), 0f)
        }
    }

    @Test fun `what a CompiledModel cannot be given is for the Interpreter`() {
        val kinds = mapOf(
            "a2b-int8-uint8" to "uint8 pictures",
            "a2b-float32-dynamic" to "pictures of any size",
        )
        for ((name, kind) in kinds) {
            val case = Models.case(name)
            val message = "$name.tflite takes $kind, which LiteRT's CompiledModel cannot give " +
                "it; use the InterpreterGenerator."
            refused(message) { CompiledModelGenerator.open(case.model, case.sidecar) }
        }
    }

    @Test fun `a size that the file does not take is refused, by the sizes it takes`() {
        val several = Models.case("a2b-int8-32-64")
        both(several.model, several.sidecar, Size(96, 96)) {
            val takes = "a2b-int8-32-64.tflite takes pictures of 32 x 32 or 64 x 64"
            assertEquals("$takes, not of 96 x 96.", it)
        }
        val free = Models.case("a2b-float32-dynamic")
        for (size in listOf(Size(50, 64), Size(64, 0), Size(-4, 64))) {
            val takes = "a2b-float32-dynamic.tflite takes pictures of sides that are multiples of 4"
            refused("$takes, not of ${size.inWords()}.") {
                InterpreterGenerator.open(free.model, free.sidecar, size)
            }
        }
    }

    @Test fun `without a size it is the smallest, or that of the training`() {
        val free = Models.cases.filter { it.sidecar.isFree && it.prepared }
            .map { it.sidecar.name to 64 }
        for ((name, side) in free + listOf("a2b-int8-32-64" to 32, "a2b-int8" to 64)) {
            val case = Models.case(name)
            InterpreterGenerator.open(case.model, case.sidecar).use {
                assertEquals(name, Size(side, side), Size(it.height, it.width))
            }
        }
    }

    @Test fun `a picture of another size is refused, and the next one is not`() {
        val case = Models.case("a2b-int8")
        for (open in openers(case)) open().use { generator ->
            refused("a2b-int8.tflite takes pictures of 64 x 64, which have 12288 values, not 7.") {
                generator.run(FloatArray(7))
            }
            assertArrayEquals(case.values, generator.run(case.image), 0f)
        }
    }

    @Test fun `a file that is missing, cut off or changed is refused before it is run`() {
        val case = Models.case("a2b-int8")
        val bytes = case.model.readBytes()
        both(File(folder.root, "none"), case.sidecar) {
            assertTrue(it, it.startsWith("a2b-int8.tflite cannot be read ("))
        }
        both(folder.root, case.sidecar) {
            assertTrue(it, it.startsWith("a2b-int8.tflite cannot be read ("))
        }
        for (length in listOf(0, bytes.size - 1)) {
            both(file(bytes.copyOf(length)), case.sidecar) {
                assertTrue(it, it.contains("$length bytes and its sidecar says ${bytes.size}"))
            }
        }
        bytes[bytes.size / 2] = (bytes[bytes.size / 2] + 1).toByte()
        both(file(bytes), case.sidecar) { assertTrue(it, it.contains("SHA-256")) }
    }

    @Test fun `a file of another kind is refused, and a signature that is not there`() {
        val case = Models.case("a2b-int8")
        val others = listOf("", "TFL3", "PK, a zip file", "0".repeat(64)).map { it.toByteArray() }
        for (other in others) {
            both(file(other), case.sidecar.of(other)) {
                assertEquals("a2b-int8.tflite is not a .tflite file; export the model again.", it)
            }
        }
        val signatures = case.sidecar.signatures.map { it.copy(name = "another") }
        both(case.model, case.sidecar.copy(signatures = signatures)) {
            assertTrue(it, it.startsWith("a2b-int8.tflite "))
        }
    }

    @Test fun `a model that gives no numbers is refused when it is opened`() {
        val case = Models.case("a2b-float32")
        val bytes = case.model.readBytes()
        val floats = ByteBuffer.wrap(bytes).order(ByteOrder.nativeOrder())
        // A thousand numbers like those are weights.
        val weights = (0 until bytes.size - 4096 step 4).map { it until it + 4096 step 4 }
            .first { all -> all.all { abs(floats.getFloat(it)) in 1e-6f..10f } }
        for (at in weights) floats.putFloat(at, Float.NaN)
        both(file(bytes), case.sidecar.of(bytes)) {
            assertEquals("a2b-float32.tflite gives values that are not finite.", it)
        }
    }

    @Test fun `values that do not fit their input are refused, and the next ones are not`() {
        val case = Models.case("any-float32")
        for (open in openers(case)) open().use { generator ->
            val takes = "any-float32.tflite takes 8 finite numbers for style, not"
            refused("$takes [1.0, 2.0].") {
                generator.run(case.image, mapOf("style" to floatArrayOf(1f, 2f)))
            }
            val broken = FloatArray(8).apply { this[3] = Float.NaN }
            refused("$takes ${broken.toList()}.") {
                generator.run(case.image, mapOf("style" to broken))
            }
            refused("any-float32.tflite takes no mood.") {
                generator.run(case.image, mapOf("mood" to floatArrayOf(1f)))
            }
            assertArrayEquals(case.values, generator.run(case.image, case.inputs), 0f)
        }
    }

    @Test fun `a sidecar with an input that the model lacks, or without one it has, is refused`() {
        val case = Models.case("any-float32")
        val signature = case.sidecar.signatures.single()
        val (image, label, style) = signature.inputs
        val others = listOf(
            listOf(image, label),
            listOf(image, label, style.copy(name = "mood")),
            listOf(image, label, style, style.copy(name = "mood")),
        )
        for (inputs in others) {
            val changed = signature.copy(inputs = inputs)
            both(case.model, case.sidecar.copy(signatures = listOf(changed))) {
                assertTrue(it, it.startsWith("any-float32.tflite "))
            }
        }
    }

    @Test fun `for a file of bytes values are clipped, and what is no number is refused`() {
        val case = Models.case("a2b-int8-uint8")
        InterpreterGenerator.open(case.model, case.sidecar).use {
            val image = case.image.copyOf().apply { this[5] = Float.NaN }
            refused("The picture has values that are NaN.") { it.run(image) }
            val beyond = FloatArray(case.image.size) { i -> case.image[i] * 3 - 200f }
            val clipped = FloatArray(beyond.size) { i -> beyond[i].coerceIn(0f, 255f) }
            assertArrayEquals(it.run(clipped), it.run(beyond), 0f)
        }
    }

    @Test fun `buffers are made once, and after closing there are none and nothing runs`() {
        val case = Models.case("a2b-int8")
        for (open in openers(case)) {
            val generator = open()
            val before = alive.get()
            repeat(3) { generator.run(case.image) }
            assertEquals(before, alive.get())
            generator.close()
            generator.close()
            assertEquals(0, alive.get())
            val error = assertThrows(InferenceException::class.java) { generator.run(case.image) }
            assertEquals("a2b-int8.tflite is closed.", error.message)
        }
    }

    @Test fun `closing waits for a run of another thread`() {
        val case = Models.case("a2b-float32")
        for (open in openers(case)) {
            val generator = open()
            val answers = mutableListOf<Boolean>()
            val running = thread {
                try {
                    while (true) answers += generator.run(case.image).contentEquals(case.values)
                } catch (error: InferenceException) {
                    assertEquals("a2b-float32.tflite is closed.", error.message)
                }
            }
            while (running.isAlive && answers.size < 3) Thread.sleep(1)
            generator.close()
            running.join()
            assertFalse(false in answers)
        }
    }

    private fun openers(case: Case): List<() -> Generator> = listOf(
        { CompiledModelGenerator.open(case.model, case.sidecar, useGpu = false) },
        { InterpreterGenerator.open(case.model, case.sidecar) },
    )

    private fun both(model: File, sidecar: Sidecar, size: Size? = null, check: (String) -> Unit) {
        val openers = listOf<() -> Generator>(
            { CompiledModelGenerator.open(model, sidecar, size) },
            { InterpreterGenerator.open(model, sidecar, size) },
        )
        for (open in openers) {
            val error = assertThrows(InferenceException::class.java) { open() }
            val message = error.message.orEmpty()
            assertTrue(message, message.endsWith(".") && '\n' !in message)
            check(message)
            assertEquals(0, alive.get())
        }
    }

    private fun refused(message: String, call: () -> Unit) =
        assertEquals(message, assertThrows(InferenceException::class.java, call).message)

    private fun file(bytes: ByteArray) = folder.newFile().apply { writeBytes(bytes) }

    private fun Sidecar.of(bytes: ByteArray): Sidecar {
        val digest = MessageDigest.getInstance("SHA-256").digest(bytes)
        val sha256 = digest.joinToString("") { "%02x".format(it) }
        return copy(sha256 = sha256, sizeBytes = bytes.size.toLong())
    }
}
