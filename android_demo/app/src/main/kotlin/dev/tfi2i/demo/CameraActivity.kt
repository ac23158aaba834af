package dev.tfi2i.demo

import android.Manifest
import android.app.Activity
import android.content.Context
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.Matrix
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraManager
import android.os.Bundle
import android.os.Handler
import android.os.Looper
import android.view.Surface
import android.view.TextureView
import android.view.View
import android.widget.Button
import android.widget.ImageView
import android.widget.TextView
import dev.tfi2i.core.Size
import java.io.File
import java.io.IOException
import kotlin.math.min

/** Shows what the camera sees, translated, and takes a photo. */
class CameraActivity : Activity(), TextureView.SurfaceTextureListener {
    private lateinit var preview: TextureView
    private lateinit var live: ImageView
    private lateinit var status: TextView
    private lateinit var shutter: Button
    private val app get() = application as DemoApplication
    private var camera: CameraChoice? = null
    private var feed: CameraFeed? = null
    private var translation: LiveTranslation? = null

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.camera)
        drawEdgeToEdge(view(R.id.root))
        preview = view(R.id.preview)
        live = view(R.id.live)
        status = view(R.id.camera_status)
        shutter = view(R.id.shutter)
        preview.surfaceTextureListener = this
        shutter.setOnClickListener {
            shutter.isEnabled = false
            feed?.takePhoto(rotation())
        }
        if (!isAllowed() && savedInstanceState == null) {
            requestPermissions(arrayOf(Manifest.permission.CAMERA), 0)
        }
    }

    override fun onResume() {
        super.onResume()
        if (!isAllowed()) tell(Message(R.string.camera_denied))
        preview.surfaceTexture?.let(::start)
    }

    override fun onPause() {
        stop()
        super.onPause()
    }

    override fun onRequestPermissionsResult(
        requestCode: Int,
        permissions: Array<out String>,
        grantResults: IntArray,
    ) {
        if (isAllowed()) tell(Message(R.string.camera_starting)) // as this activity is resumed
    }

    override fun onSurfaceTextureAvailable(surface: SurfaceTexture, width: Int, height: Int) =
        start(surface)

    override fun onSurfaceTextureSizeChanged(surface: SurfaceTexture, width: Int, height: Int) =
        place()

    override fun onSurfaceTextureDestroyed(surface: SurfaceTexture): Boolean {
        stop()
        return true
    }

    override fun onSurfaceTextureUpdated(surface: SurfaceTexture) {
        translation?.frame(rotation(), preview::getBitmap)
    }

    private fun isAllowed() =
        checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED

    private fun rotation(): Int = preview.display?.rotation ?: Surface.ROTATION_0

    private fun start(texture: SurfaceTexture) {
        if (feed != null || !isAllowed()) return
        val manager = checkNotNull(getSystemService(CameraManager::class.java))
        val found = try {
            CameraChoice.find(manager) ?: return tell(Message(R.string.camera_missing))
        } catch (_: CameraAccessException) {
            return tell(Message(R.string.camera_failed))
        }
        camera = found
        place()
        translation = translation(found)
        feed = CameraFeed(
            found,
            ready = {
                shutter.isEnabled = true
                if (translation == null) tell(Message(withoutTranslation()))
            },
            taken = ::keep,
            failed = { tell(Message(R.string.camera_failed)) },
        ).also { it.open(manager, texture) }
    }

    private fun stop() {
        translation?.close()
        translation = null
        feed?.close()
        feed = null
        shutter.isEnabled = false
    }

    private fun translation(camera: CameraChoice): LiveTranslation? {
        val name = intent.getStringExtra(MODEL)
        val sidecar = app.shelf.sidecars.find { it.name == name } ?: return null
        if (sidecar.isSampler || sidecar.secondPictures.isNotEmpty()) return null
        val size = Size(intent.getIntExtra(HEIGHT, 0), intent.getIntExtra(WIDTH, 0))
        val inputs = sidecar.values(intent.getBundleExtra(CHOSEN)?.indices().orEmpty())
        val upright = camera.uprightPreviewSize
        return LiveTranslation(app.models, sidecar, size, inputs, upright, ::show, ::tell)
    }

    private fun withoutTranslation(): Int {
        val hasModels = app.shelf.sidecars.isNotEmpty()
        return if (hasModels) R.string.camera_as_it_is else R.string.camera_without_model
    }

    private fun show(frame: LiveFrame) {
        live.visibility = View.VISIBLE
        live.setImageBitmap(frame.bitmap)
        status.text = getString(R.string.camera_running, frame.milliseconds, frame.accelerator)
    }

    private fun tell(message: Message) {
        status.text = message.text(resources)
    }

    /** Keeps a photo and ends with it. */
    private fun keep(jpeg: ByteArray) {
        val main = Handler(Looper.getMainLooper())
        app.models.execute {
            val file = app.photos.fresh()
            try {
                file.writeBytes(jpeg)
                main.post { finish(file) }
            } catch (error: IOException) {
                val message = Message(R.string.cannot_save, error.message.orEmpty())
                main.post { tell(message) }
            }
        }
    }

    private fun finish(photo: File) {
        setResult(RESULT_OK, Intent().putExtra(PHOTO, photo.name))
        finish()
    }

    /** Turns and shapes the preview, stretched over the view as it is for a phone held upright. */
    private fun place() {
        val upright = camera?.uprightPreviewSize ?: return
        val width = preview.width.toFloat()
        val height = preview.height.toFloat()
        val lying = rotation() % 2 != 0
        val seenWidth = if (lying) upright.height else upright.width
        val seenHeight = if (lying) upright.width else upright.height
        val scale = min(width / seenWidth, height / seenHeight)
        val matrix = Matrix()
        matrix.setScale(
            upright.width * scale / width,
            upright.height * scale / height,
            width / 2,
            height / 2,
        )
        matrix.postRotate(-90f * rotation(), width / 2, height / 2)
        preview.setTransform(matrix)
    }

    companion object {
        private const val MODEL = "model"
        private const val HEIGHT = "height"
        private const val WIDTH = "width"
        private const val CHOSEN = "chosen"
        private const val PHOTO = "photo"

        /** Starts this activity with the model of a choice. */
        fun intent(context: Context, choice: Choice): Intent =
            Intent(context, CameraActivity::class.java)
                .putExtra(MODEL, choice.sidecar?.name)
                .putExtra(HEIGHT, choice.size?.height ?: 0)
                .putExtra(WIDTH, choice.size?.width ?: 0)
                .putExtra(CHOSEN, choice.chosen.toBundle())

        /** The photo that this activity ended with. */
        fun photo(result: Intent, photos: PhotoFiles): File? =
            result.getStringExtra(PHOTO)?.let(photos::named)
    }
}
