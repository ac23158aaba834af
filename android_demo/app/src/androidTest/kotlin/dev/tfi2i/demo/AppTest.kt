package dev.tfi2i.demo

import android.app.Activity
import android.content.Context
import android.content.Intent
import android.graphics.BitmapFactory
import android.graphics.Color
import android.net.Uri
import android.os.SystemClock
import android.view.View
import dev.tfi2i.core.Fit
import dev.tfi2i.core.Pixels
import dev.tfi2i.core.Translator
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import java.io.File
import java.io.FileNotFoundException
import kotlin.math.abs

/**
 * On a phone or an emulator, with the first of the app's models, a float32 one. The test's assets
 * have picture.png, of the model's size, and translation.png, what Python makes of it.
 */
class AppTest {
    private val instrumentation = JUnitInstrumentation.running
    private val context: Context = instrumentation.targetContext

    @Test
    fun aPictureIsTranslatedAsPythonDoes() {
        val shelf = ModelShelf(context)
        val sidecar = shelf.sidecars.first()
        val translated = openGenerator(shelf.file(sidecar), sidecar, sizesOf(sidecar).first()).use {
            Translator(it).translate(Photo.read(picture(), sidecar.reading).pixels, Fit.WHOLE)
        }
        val expected = instrumentation.context.assets.open("translation.png")
            .use(BitmapFactory::decodeStream)
        val difference = largestDifference(checkNotNull(translated), expected.toPixels())
        assertTrue("They differ by up to $difference levels.", difference <= LEVELS)
    }

    @Test
    fun aSharedPictureIsTranslatedAndStaysWhenTheScreenIsMadeAnew() {
        val bitmap = BitmapFactory.decodeFile(picture().path)
        val intent = Intent(context, MainActivity::class.java)
            .setAction(Intent.ACTION_SEND)
            .addFlags(Intent.FLAG_ACTIVITY_NEW_TASK)
            .putExtra(Intent.EXTRA_STREAM, SharedPictures.write(context, bitmap))
        val activity = instrumentation.startActivitySync(intent)
        waitFor { canSave(activity) }
        val monitor = instrumentation.addMonitor(MainActivity::class.java.name, null, false)
        instrumentation.runOnMainSync { activity.recreate() }
        val anew = instrumentation.waitForMonitorWithTimeout(monitor, PATIENCE)
        assertNotNull(anew)
        waitFor { canSave(anew) }
        instrumentation.runOnMainSync { anew.finish() }
    }

    @Test
    fun otherFilesThanSharedPicturesCannotBeRead() {
        File(context.cacheDir, "secret.jpg").writeText("secret")
        val paths = listOf("secret.jpg", "../secret.jpg", "..%2Fsecret.jpg", "%2E%2E/secret.jpg")
        for (path in paths) {
            val uri = Uri.parse("content://dev.tfi2i.demo.shared/$path")
            assertThrows(path, FileNotFoundException::class.java) {
                context.contentResolver.openInputStream(uri)?.close()
            }
        }
    }

    private fun picture(): File {
        val file = File(context.cacheDir, "picture.png")
        instrumentation.context.assets.open("picture.png").use { asset ->
            file.outputStream().use { asset.copyTo(it) }
        }
        return file
    }

    private fun largestDifference(one: Pixels, other: Pixels): Int {
        assertEquals(other.width to other.height, one.width to one.height)
        return one.argb.indices.maxOf { i ->
            listOf(Color::red, Color::green, Color::blue)
                .maxOf { level -> abs(level(one.argb[i]) - level(other.argb[i])) }
        }
    }

    private fun canSave(activity: Activity): Boolean {
        var enabled = false
        instrumentation.runOnMainSync { enabled = activity.view<View>(R.id.save).isEnabled }
        return enabled
    }

    private fun waitFor(condition: () -> Boolean) {
        val end = SystemClock.elapsedRealtime() + PATIENCE
        while (!condition()) {
            assertTrue("It takes too long.", SystemClock.elapsedRealtime() < end)
            SystemClock.sleep(100)
        }
    }

    private companion object {
        const val PATIENCE = 60_000L

        /** A GPU computes otherwise than a CPU. */
        const val LEVELS = 2
    }
}
