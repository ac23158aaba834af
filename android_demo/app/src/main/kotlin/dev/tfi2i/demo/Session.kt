package dev.tfi2i.demo

import android.graphics.Bitmap
import android.net.Uri
import android.os.Handler
import android.os.Looper
import android.os.SystemClock
import dev.tfi2i.core.Blend
import dev.tfi2i.core.Translator
import java.io.File

/**
 * The work of the main screen; it outlives the activity when the phone is turned.
 *
 * Called by the main thread, it has [ModelThread] do the work, and shows each new state to the
 * [listener] on the main thread.
 */
class Session(private val app: DemoApplication, choice: Choice) {
    private val main = Handler(Looper.getMainLooper())
    private var job: Job? = null

    var state = ScreenState(choice)
        private set(value) {
            field = value
            listener?.invoke(value)
        }

    /** Is told the state at once and whenever it changes. */
    var listener: ((ScreenState) -> Unit)? = null
        set(value) {
            field = value
            value?.invoke(state)
        }

    /** Work that may be cancelled; what it brings after that is dropped. */
    private class Job {
        @Volatile
        var cancelled = false
    }

    /** Shows the picture that [uri] names, and translates it. */
    fun open(uri: Uri) = open { app.photos.copied(uri) }

    /** Shows the picture in a file of [PhotoFiles], and translates it. */
    fun open(file: File) = open { file }

    private fun open(file: () -> File) {
        val choice = state.choice
        begin(Work.Reading) { job ->
            val photo = Photo.read(file())
            app.photos.deleteBefore(photo.file)
            change(job) { it.copy(photo = photo, translation = null) }
            translated(job, photo, choice)
        }
    }

    /** Translates the photo, if there is one, in another way from now on. */
    fun choose(choice: Choice) {
        if (choice == state.choice) return
        state = state.copy(choice = choice, translation = null)
        val photo = state.photo ?: return
        begin(Work.OpeningModel) { translated(it, photo, choice) }
    }

    fun cancel() {
        job?.cancelled = true
        job = null
        state = state.copy(work = Work.None, notice = Message(R.string.cancelled))
    }

    /** Writes the picture between photo and translation to the phone's pictures. */
    fun save(strength: Float) = write(strength) { bitmap ->
        val place = SavedPictures(app).save(bitmap)
        return@write { it.copy(work = Work.None, notice = Message(R.string.saved, place)) }
    }

    /** Writes the picture between photo and translation to where other apps may be let read it. */
    fun share(strength: Float) = write(strength) { bitmap ->
        val uri = SharedPictures.write(app, bitmap)
        return@write { it.copy(work = Work.None, toShare = uri) }
    }

    /** The picture to share has been offered. */
    fun shared() {
        state = state.copy(toShare = null)
    }

    /** Tells something that no work of the session brought about. */
    fun tell(notice: Message) {
        state = state.copy(notice = notice)
    }

    /** Stops what is going on and forgets the photo; nobody looks any more. */
    fun close() {
        listener = null
        job?.cancelled = true
        job = null
        app.models.execute(app.photos::clear)
    }

    private fun write(strength: Float, to: (Bitmap) -> (ScreenState) -> ScreenState) {
        val photo = state.photo ?: return
        val translation = state.translation ?: return
        begin(Work.Writing) {
            to(Blend.mix(photo.pixels, translation.pixels, strength).toBitmap())
        }
    }

    private fun translated(job: Job, photo: Photo, choice: Choice): (ScreenState) -> ScreenState {
        val sidecar = choice.sidecar
        val size = choice.size
        if (sidecar == null || size == null) throw DemoException(Message(R.string.no_models))
        change(job) { it.copy(work = Work.OpeningModel) }
        val generator = app.models.generator(sidecar, size)
        val started = SystemClock.elapsedRealtime()
        change(job) { it.copy(work = Work.Translating(0f)) }
        val pixels = Translator(generator, sidecar.values(choice.chosen)).translate(
            photo.pixels,
            choice.fit,
            progress = { done -> change(job) { it.copy(work = Work.Translating(done)) } },
            cancelled = { job.cancelled },
        ) ?: return { it }
        val translation = Translation(
            pixels,
            pixels.toShownBitmap(),
            SystemClock.elapsedRealtime() - started,
            generator.accelerator,
            generator.fallbackReason,
        )
        return { it.copy(work = Work.None, translation = translation) }
    }

    /** Has the model's thread do a task that gives a change of the state; cancels the last one. */
    private fun begin(work: Work, task: (Job) -> (ScreenState) -> ScreenState) {
        job?.cancelled = true
        val begun = Job()
        job = begun
        state = state.copy(work = work, notice = null)
        app.models.execute {
            if (begun.cancelled) return@execute
            val result = try {
                task(begun)
            } catch (failure: Throwable) {
                val notice = messageOf(failure) ?: throw failure
                { it.copy(work = Work.None, notice = notice) }
            }
            change(begun, result)
        }
    }

    private fun change(of: Job, to: (ScreenState) -> ScreenState) {
        main.post { if (job === of) state = to(state) }
    }
}
