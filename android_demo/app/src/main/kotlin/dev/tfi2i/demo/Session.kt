package dev.tfi2i.demo

import android.graphics.Bitmap
import android.net.Uri
import android.os.Handler
import android.os.Looper
import android.os.SystemClock
import dev.tfi2i.core.Blend
import dev.tfi2i.core.Pixels
import dev.tfi2i.core.Reading
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
        val before = state
        begin(Work.Reading) { job ->
            val photo = Photo.read(file(), before.choice.reading)
            app.photos.deleteBefore(photo.file)
            change(job) { it.copy(photo = photo, translation = null) }
            translated(job, photo, before)
        }
    }

    /** Reads the picture that [uri] names for an input besides the photo, and translates that. */
    fun openSecond(input: String, uri: Uri) {
        val before = state
        begin(Work.Reading) { job ->
            val file = app.photos.copied(uri)
            val picture = Photo.read(file, before.choice.sidecar?.reading(input) ?: Reading())
            file.delete() // only its pixels are needed, and a photo's file marks what is older
            val pictures = before.pictures + (input to picture)
            change(job) { it.copy(pictures = pictures, translation = null) }
            val photo = before.photo ?: return@begin { it.copy(work = Work.None) }
            translated(job, photo, before.copy(pictures = pictures))
        }
    }

    /** Makes a picture with the sampler that is chosen. */
    fun make() {
        val before = state
        begin(Work.OpeningModel) { job ->
            ran(job, before) { translator, _ -> translator.sample() }
        }
    }

    /** Translates the photo, if there is one, in another way from now on. */
    fun choose(choice: Choice) {
        if (choice == state.choice) return
        val isSame = choice.sidecar == state.choice.sidecar
        val pictures = if (isSame) state.pictures else emptyMap()
        state = state.copy(choice = choice, translation = null, pictures = pictures)
        val before = state
        if (choice.sidecar?.isSampler == true) return cancelQuietly()
        val photo = before.photo ?: return
        begin(Work.OpeningModel) { translated(it, photo, before) }
    }

    fun cancel() {
        cancelQuietly()
        tell(Message(R.string.cancelled))
    }

    private fun cancelQuietly() {
        job?.cancelled = true
        job = null
        state = state.copy(work = Work.None, notice = null)
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
        val photo = state.photo.takeUnless { state.choice.sidecar?.isSampler == true }
        val translation = state.translation ?: return
        begin(Work.Writing) {
            val made = translation.pixels
            to((photo?.let { Blend.mix(it.pixels, made, strength) } ?: made).toBitmap())
        }
    }

    private fun translated(
        job: Job,
        photo: Photo,
        before: ScreenState,
    ): (ScreenState) -> ScreenState {
        if (before.choice.sidecar?.isSampler == true) return { it.copy(work = Work.None) }
        val read = photo.readAs(before.choice.reading)
        if (read !== photo) change(job) { it.copy(photo = read) }
        return ran(job, before) { translator, tell ->
            translator.translate(read.pixels, before.choice.fit, tell) { job.cancelled }
        }
    }

    /** Runs the model of a state by [use], which is also given what to tell the progress to. */
    private fun ran(
        job: Job,
        before: ScreenState,
        use: (Translator, (Float) -> Unit) -> Pixels?,
    ): (ScreenState) -> ScreenState {
        val (sidecar, size, _, chosen) = before.choice
        if (sidecar == null || size == null) throw DemoException(Message(R.string.no_models))
        val missing = sidecar.secondPictures.find { it !in before.pictures }
        if (missing != null) throw DemoException(Message(R.string.picture_missing, missing))
        change(job) { it.copy(work = Work.OpeningModel) }
        val generator = app.models.generator(sidecar, size)
        val started = SystemClock.elapsedRealtime()
        change(job) { it.copy(work = Work.Translating(0f)) }
        val inputs = sidecar.values(chosen, before.pictures.mapValues { it.value.pixels })
        val pixels = use(Translator(generator, inputs)) { done ->
            change(job) { it.copy(work = Work.Translating(done)) }
        } ?: return { it }
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
