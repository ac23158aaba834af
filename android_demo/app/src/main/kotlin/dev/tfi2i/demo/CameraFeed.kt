package dev.tfi2i.demo

import android.annotation.SuppressLint
import android.graphics.ImageFormat
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CameraMetadata
import android.hardware.camera2.CaptureFailure
import android.hardware.camera2.CaptureRequest
import android.media.ImageReader
import android.os.Handler
import android.os.Looper
import android.view.Surface

/**
 * An open camera: its preview on a texture, and photos of it. All of it is on the main thread.
 *
 * @param ready the preview runs, and photos can be taken.
 * @param taken is given a photo as the bytes of a JPEG file.
 * @param failed the camera is lost; nothing more will come.
 */
class CameraFeed(
    private val camera: CameraChoice,
    private val ready: () -> Unit,
    private val taken: (ByteArray) -> Unit,
    private val failed: () -> Unit,
) : AutoCloseable {
    private val main = Handler(Looper.getMainLooper())
    private val photos = ImageReader.newInstance(
        camera.photoSize.width,
        camera.photoSize.height,
        ImageFormat.JPEG,
        1,
    )
    private var preview: Surface? = null
    private var device: CameraDevice? = null
    private var session: CameraCaptureSession? = null
    private var closed = false

    /** Opens the camera, for which the permission has to be there. */
    @SuppressLint("MissingPermission")
    fun open(manager: CameraManager, texture: SurfaceTexture) {
        texture.setDefaultBufferSize(camera.previewSize.width, camera.previewSize.height)
        preview = Surface(texture)
        photos.setOnImageAvailableListener({ if (!closed) read() }, main)
        orFail { manager.openCamera(camera.id, Device(), main) }
    }

    /** Takes a photo; [rotation] is the display's `Surface.ROTATION_...`. */
    fun takePhoto(rotation: Int) {
        val session = session ?: return
        orFail {
            val request = session.device.createCaptureRequest(CameraDevice.TEMPLATE_STILL_CAPTURE)
            request.addTarget(photos.surface)
            request[CaptureRequest.CONTROL_AF_MODE] = AUTOFOCUS
            request[CaptureRequest.JPEG_ORIENTATION] = camera.photoTurn(rotation)
            session.capture(request.build(), Capturing(), main)
        }
    }

    private fun read() {
        photos.acquireNextImage()?.use { image ->
            val bytes = image.planes.first().buffer
            taken(ByteArray(bytes.remaining()).also(bytes::get))
        }
    }

    override fun close() {
        closed = true
        device?.close()
        session = null
        device = null
        photos.close()
        preview?.release()
        preview = null
    }

    private inner class Device : CameraDevice.StateCallback() {
        override fun onOpened(camera: CameraDevice) {
            if (closed) return camera.close()
            device = camera
            val surfaces = listOfNotNull(preview, photos.surface)
            orFail {
                @Suppress("DEPRECATION") // its successor needs API 28
                camera.createCaptureSession(surfaces, Previewing(), main)
            }
        }

        override fun onDisconnected(camera: CameraDevice) = lost(camera)

        override fun onError(camera: CameraDevice, error: Int) = lost(camera)

        private fun lost(camera: CameraDevice) {
            camera.close()
            fail()
        }
    }

    private inner class Previewing : CameraCaptureSession.StateCallback() {
        override fun onConfigured(configured: CameraCaptureSession) {
            val surface = preview
            if (closed || surface == null) return
            orFail {
                val request = configured.device.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW)
                request.addTarget(surface)
                request[CaptureRequest.CONTROL_AF_MODE] = AUTOFOCUS
                configured.setRepeatingRequest(request.build(), null, main)
                session = configured
                ready()
            }
        }

        override fun onConfigureFailed(configured: CameraCaptureSession) = fail()
    }

    private inner class Capturing : CameraCaptureSession.CaptureCallback() {
        override fun onCaptureFailed(
            session: CameraCaptureSession,
            request: CaptureRequest,
            failure: CaptureFailure,
        ) = fail()
    }

    private fun orFail(action: () -> Unit) = try {
        action()
    } catch (_: CameraAccessException) {
        fail()
    } catch (_: IllegalStateException) { // the device was closed in between
        fail()
    } catch (_: SecurityException) { // the permission was taken back in between
        fail()
    }

    private fun fail() {
        if (closed) return
        close()
        failed()
    }

    private companion object {
        const val AUTOFOCUS = CameraMetadata.CONTROL_AF_MODE_CONTINUOUS_PICTURE
    }
}
