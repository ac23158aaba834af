package dev.tfi2i.demo

import android.graphics.Bitmap
import android.media.ExifInterface
import android.os.Handler
import android.os.Looper
import android.os.SystemClock
import android.util.Size
import android.view.Surface
import dev.tfi2i.core.Geometry
import dev.tfi2i.core.ImageTensor
import dev.tfi2i.core.Sidecar
import dev.tfi2i.core.Pixels
import kotlin.math.max
import kotlin.math.min
import kotlin.math.roundToInt
import dev.tfi2i.core.Size as ModelSize

/** A translated frame and how it came about. */
class LiveFrame(val bitmap: Bitmap, val milliseconds: Long, val accelerator: String)

/**
 * Translates the middle of camera frames at the size that a model takes; while one is translated,
 * the others pass.
 *
 * @param inputs values of the model's inputs besides the picture, by name.
 * @param preview the size of the camera's frames on a phone held as it is meant to be.
 * @param show is given each translation, on the main thread.
 * @param failed is told why there are no more, on the main thread.
 */
class LiveTranslation(
    private val models: ModelThread,
    private val sidecar: Sidecar,
    private val size: ModelSize,
    private val inputs: Map<String, FloatArray>,
    private val preview: Size,
    private val show: (LiveFrame) -> Unit,
    private val failed: (Message) -> Unit,
) : AutoCloseable {
    private val main = Handler(Looper.getMainLooper())
    private var busy = false
    private var closed = false

    /**
     * Translates a frame, unless another is being translated.
     *
     * @param grab gives the frame, scaled to a width and height and not yet turned; null: none.
     * @param rotation the display's `Surface.ROTATION_...`.
     */
    fun frame(rotation: Int, grab: (Int, Int) -> Bitmap?) {
        if (busy || closed) return
        // Large enough for the model whichever way the phone is held.
        val scale = max(size.width, size.height).toDouble() / min(preview.width, preview.height)
        val width = (preview.width * scale).roundToInt()
        val height = (preview.height * scale).roundToInt()
        val frame = grab(width, height) ?: return
        busy = true
        models.execute {
            val outcome = try {
                Result.success(translated(frame, rotation))
            } catch (failure: Throwable) {
                Result.failure(failure)
            }
            main.post { tell(outcome) }
        }
    }

    override fun close() {
        closed = true
    }

    private fun tell(outcome: Result<LiveFrame>) {
        busy = false
        val failure = outcome.exceptionOrNull()
        val message = failure?.let { messageOf(it) ?: throw it }
        if (closed) return
        if (message != null) {
            close()
            failed(message)
        } else {
            outcome.onSuccess(show)
        }
    }

    private fun translated(frame: Bitmap, rotation: Int): LiveFrame {
        val generator = models.generator(sidecar, size)
        val upright = Geometry.upright(sidecar.reading.of(frame.toPixels()), turn(rotation))
        frame.recycle()
        val image: Pixels = Geometry.resize(Geometry.centreCrop(upright, size), size)
        val started = SystemClock.elapsedRealtime()
        val answer = generator.run(ImageTensor.pack(image, sidecar.takenChannels), inputs)
        val milliseconds = SystemClock.elapsedRealtime() - started
        val made = ImageTensor.unpack(answer, size.width, size.height, sidecar.madeChannels)
        return LiveFrame(made.toBitmap(), milliseconds, generator.accelerator)
    }

    /** An Exif orientation; a texture has frames as of a phone held as it is meant to be. */
    private fun turn(rotation: Int): Int = when (rotation) {
        Surface.ROTATION_90 -> ExifInterface.ORIENTATION_ROTATE_270
        Surface.ROTATION_180 -> ExifInterface.ORIENTATION_ROTATE_180
        Surface.ROTATION_270 -> ExifInterface.ORIENTATION_ROTATE_90
        else -> ExifInterface.ORIENTATION_NORMAL
    }
}
