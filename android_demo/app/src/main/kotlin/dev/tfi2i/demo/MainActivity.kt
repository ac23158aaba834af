package dev.tfi2i.demo

import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.Intent
import android.content.pm.PackageManager
import android.net.Uri
import android.os.Bundle
import android.view.View
import dev.tfi2i.core.Fit

/** Translates a photo that is chosen, taken or shared from another app. */
class MainActivity : Activity() {
    private lateinit var session: Session
    private lateinit var screen: Screen

    /** The input besides the photo that a picture is being chosen for. */
    private var second: String? = null
    private val app get() = application as DemoApplication
    private val saved by lazy { SavedPictures(this) }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.main)
        drawEdgeToEdge(view(R.id.root))
        val before = lastNonConfigurationInstance as Session?
        session = before ?: Session(app, chosen(savedInstanceState))
        screen = Screen(this, app.shelf, session::choose, ::pickSecond)
        second = savedInstanceState?.getString(SECOND)
        savedInstanceState?.let { screen.divider = it.getFloat(DIVIDER, screen.divider) }
        connect()
        session.listener = ::show
        if (savedInstanceState == null) {
            receive(intent)
        } else if (before == null) {
            reopen(savedInstanceState)
        }
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        setIntent(intent)
        receive(intent)
    }

    override fun onRetainNonConfigurationInstance(): Any = session

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        val state = session.state
        outState.putString(PHOTO, state.photo?.file?.name)
        outState.putString(MODEL, state.choice.sidecar?.name)
        outState.putInt(SIZE, state.choice.sidecar?.let(::sizesOf)?.indexOf(state.choice.size) ?: 0)
        outState.putInt(FIT, state.choice.fit.ordinal)
        outState.putString(SECOND, second)
        outState.putBundle(CHOSEN, state.choice.chosen.toBundle())
        outState.putFloat(DIVIDER, screen.divider)
    }

    override fun onDestroy() {
        session.listener = null
        if (isFinishing) session.close()
        super.onDestroy()
    }

    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        if (resultCode != RESULT_OK || data == null) return
        when (requestCode) {
            PICK -> data.data?.let(session::open)
            PICK_SECOND -> second?.let { name -> data.data?.let { session.openSecond(name, it) } }
            CAMERA -> {
                val photo = CameraActivity.photo(data, app.photos)
                if (photo == null) photoIsGone() else session.open(photo)
            }
        }
    }

    override fun onRequestPermissionsResult(
        requestCode: Int,
        permissions: Array<out String>,
        grantResults: IntArray,
    ) {
        if (requestCode != SAVE || grantResults.isEmpty()) return
        if (grantResults.first() == PackageManager.PERMISSION_GRANTED) {
            session.save(screen.strength)
        } else {
            session.tell(Message(R.string.save_denied))
        }
    }

    private fun connect() {
        onClick(R.id.pick) { start(pickIntent(), PICK, Message(R.string.no_picker)) }
        onClick(R.id.make) { session.make() }
        onClick(R.id.cancel) { session.cancel() }
        onClick(R.id.share) { session.share(screen.strength) }
        onClick(R.id.save) {
            val permission = saved.missingPermission
            if (permission == null) {
                session.save(screen.strength)
            } else {
                requestPermissions(arrayOf(permission), SAVE)
            }
        }
        val camera = view<View>(R.id.camera)
        val hasCamera = packageManager.hasSystemFeature(PackageManager.FEATURE_CAMERA_ANY)
        camera.visibility = if (hasCamera) View.VISIBLE else View.GONE
        camera.setOnClickListener {
            startActivityForResult(CameraActivity.intent(this, session.state.choice), CAMERA)
        }
    }

    private fun pickSecond(name: String) {
        second = name
        start(pickIntent(), PICK_SECOND, Message(R.string.no_picker))
    }

    private fun onClick(button: Int, action: () -> Unit) =
        view<View>(button).setOnClickListener { action() }

    private fun show(state: ScreenState) {
        screen.show(state)
        val uri = state.toShare ?: return
        session.shared()
        try {
            startActivity(shareIntent(this, uri))
        } catch (_: ActivityNotFoundException) {
            session.tell(Message(R.string.nothing_to_share_with))
        }
    }

    private fun start(intent: Intent, request: Int, missing: Message) = try {
        startActivityForResult(intent, request)
    } catch (_: ActivityNotFoundException) {
        session.tell(missing)
    }

    /** Opens the picture that another app shares, if that is why this one was started. */
    private fun receive(intent: Intent) {
        // Started again from the list of recent apps, it may not read that picture any more.
        val again = intent.flags and Intent.FLAG_ACTIVITY_LAUNCHED_FROM_HISTORY != 0
        if (intent.action != Intent.ACTION_SEND || again) return
        val uri: Uri? = sharedPicture(intent)
        if (uri == null) session.tell(Message(R.string.not_a_photo)) else session.open(uri)
    }

    /** Opens the photo again that was shown before Android ended the process. */
    private fun reopen(state: Bundle) {
        val name = state.getString(PHOTO) ?: return
        val photo = app.photos.named(name)
        if (photo == null) photoIsGone() else session.open(photo)
    }

    private fun photoIsGone() = session.tell(Message(R.string.photo_gone))

    private fun chosen(state: Bundle?): Choice {
        val sidecars = app.shelf.sidecars
        val sidecar = sidecars.find { it.name == state?.getString(MODEL) } ?: sidecars.firstOrNull()
        val sizes = sidecar?.let(::sizesOf).orEmpty()
        val size = sizes.getOrNull(state?.getInt(SIZE) ?: 0) ?: sizes.firstOrNull()
        val chosen = state?.getBundle(CHOSEN)?.indices().orEmpty()
        return Choice(sidecar, size, Fit.entries[state?.getInt(FIT) ?: 0], chosen)
    }

    private companion object {
        const val PICK = 1
        const val CAMERA = 2
        const val SAVE = 3
        const val PICK_SECOND = 4

        const val PHOTO = "photo"
        const val MODEL = "model"
        const val SIZE = "size"
        const val FIT = "fit"
        const val CHOSEN = "chosen"
        const val SECOND = "second"
        const val DIVIDER = "divider"
    }
}
