package dev.tfi2i.demo

import android.graphics.ImageFormat
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CameraMetadata
import android.util.Size

/**
 * A camera and the sizes of its pictures.
 *
 * @property sensorTurn by how many degrees clockwise its pictures are to be turned to be upright on
 *   a phone held as it is meant to be.
 */
class CameraChoice(
    val id: String,
    private val sensorTurn: Int,
    private val facesUser: Boolean,
    val previewSize: Size,
    val photoSize: Size,
) {
    /** The preview's size as the phone shows it when held as it is meant to be. */
    val uprightPreviewSize: Size
        get() {
            val turned = sensorTurn % 180 != 0
            return if (turned) Size(previewSize.height, previewSize.width) else previewSize
        }

    /**
     * By how many degrees clockwise a photo is to be turned.
     *
     * @param rotation the display's `Surface.ROTATION_...`.
     */
    fun photoTurn(rotation: Int): Int {
        val phone = 90 * rotation
        return (sensorTurn + (if (facesUser) phone else -phone) + 360) % 360
    }

    companion object {
        private const val LARGEST_PREVIEW = 1280 * 720

        /** The camera on the back, or else another; null: there is none. */
        fun find(manager: CameraManager): CameraChoice? = manager.cameraIdList
            .mapNotNull { of(it, manager.getCameraCharacteristics(it)) }
            .minByOrNull { it.facesUser }

        private fun of(id: String, camera: CameraCharacteristics): CameraChoice? {
            val sizes = camera[CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP] ?: return null
            val photo = sizes.getOutputSizes(ImageFormat.JPEG).orEmpty().maxByOrNull(::area)
                ?: return null
            val previews = sizes.getOutputSizes(SurfaceTexture::class.java).orEmpty()
                .filter { area(it) <= LARGEST_PREVIEW }
            // What is seen should be what is taken, so of the photo's shape if the camera has that.
            val alike = previews.filter { it.width * photo.height == it.height * photo.width }
            val preview = alike.maxByOrNull(::area)
                ?: previews.maxByOrNull(::area)
                ?: return null
            return CameraChoice(
                id,
                camera[CameraCharacteristics.SENSOR_ORIENTATION] ?: 0,
                camera[CameraCharacteristics.LENS_FACING] == CameraMetadata.LENS_FACING_FRONT,
                preview,
                photo,
            )
        }

        private fun area(size: Size): Int = size.width * size.height
    }
}
