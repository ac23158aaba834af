package dev.tfi2i.demo

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Paint
import android.graphics.RectF
import android.os.Build
import android.os.Bundle
import android.util.AttributeSet
import android.view.KeyEvent
import android.view.MotionEvent
import android.view.View
import android.view.accessibility.AccessibilityEvent
import android.view.accessibility.AccessibilityNodeInfo
import android.view.accessibility.AccessibilityNodeInfo.AccessibilityAction
import android.view.accessibility.AccessibilityNodeInfo.RangeInfo
import android.widget.SeekBar
import kotlin.math.min
import kotlin.math.roundToInt

/**
 * A photo left of a divider and its translation right of it.
 *
 * The divider follows a finger, the arrow keys, and TalkBack's gestures for sliders.
 */
class CompareView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private val density = resources.displayMetrics.density
    private val picture = Paint(Paint.FILTER_BITMAP_FLAG)
    private val line = paint(R.color.divider)
    private val edge = paint(R.color.divider_edge)
    private val frame = RectF()
    private var photo: Bitmap? = null
    private var translation: Bitmap? = null

    /** Strength of the translation right of the divider, from 0 to 1. */
    var strength = 1f
        set(value) {
            field = value
            invalidate()
        }

    /** Place of the divider, from 0 at the left to 1. */
    var divider = 0.5f
        set(value) {
            val inside = value.coerceIn(0f, 1f)
            if (inside == field) return
            field = inside
            invalidate()
            sendAccessibilityEvent(AccessibilityEvent.TYPE_VIEW_SELECTED)
        }

    /** Shows a photo, and its translation once there is one. */
    fun show(photo: Bitmap, translation: Bitmap?) {
        if (photo === this.photo && translation === this.translation) return
        this.photo = photo
        this.translation = translation
        contentDescription = context.getString(
            if (translation == null) R.string.photo_description else R.string.compare_description,
        )
        place()
        invalidate()
    }

    override fun onSizeChanged(width: Int, height: Int, oldWidth: Int, oldHeight: Int) = place()

    /** Puts [frame] in the middle of the view, of the photo's shape. */
    private fun place() {
        val photo = photo ?: return
        val scale = min(width.toFloat() / photo.width, height.toFloat() / photo.height)
        val left = (width - photo.width * scale) / 2
        val top = (height - photo.height * scale) / 2
        frame.set(left, top, left + photo.width * scale, top + photo.height * scale)
    }

    override fun onDraw(canvas: Canvas) {
        val photo = photo ?: return
        picture.alpha = OPAQUE
        canvas.drawBitmap(photo, null, frame, picture)
        val translation = translation ?: return
        val x = frame.left + divider * frame.width()
        picture.alpha = (strength * OPAQUE).roundToInt()
        canvas.save()
        canvas.clipRect(x, frame.top, frame.right, frame.bottom)
        canvas.drawBitmap(translation, null, frame, picture)
        canvas.restore()
        val half = LINE_DP * density / 2
        val rim = half + density
        canvas.drawRect(x - rim, frame.top, x + rim, frame.bottom, edge)
        canvas.drawRect(x - half, frame.top, x + half, frame.bottom, line)
        canvas.drawCircle(x, frame.centerY(), HANDLE_DP * density + density, edge)
        canvas.drawCircle(x, frame.centerY(), HANDLE_DP * density, line)
    }

    override fun onTouchEvent(event: MotionEvent): Boolean {
        if (translation == null) return super.onTouchEvent(event)
        when (event.actionMasked) {
            MotionEvent.ACTION_DOWN, MotionEvent.ACTION_MOVE -> {
                parent.requestDisallowInterceptTouchEvent(true)
                divider = (event.x - frame.left) / frame.width()
            }
            MotionEvent.ACTION_UP -> performClick()
        }
        return true
    }

    override fun onKeyDown(keyCode: Int, event: KeyEvent): Boolean {
        if (translation == null) return super.onKeyDown(keyCode, event)
        divider = when (keyCode) {
            KeyEvent.KEYCODE_DPAD_LEFT -> divider - STEP
            KeyEvent.KEYCODE_DPAD_RIGHT -> divider + STEP
            KeyEvent.KEYCODE_MOVE_HOME -> 0f
            KeyEvent.KEYCODE_MOVE_END -> 1f
            else -> return super.onKeyDown(keyCode, event)
        }
        return true
    }

    /** The description by which TalkBack takes this for a slider. */
    override fun getAccessibilityClassName(): CharSequence =
        if (translation == null) super.getAccessibilityClassName() else SeekBar::class.java.name

    override fun onInitializeAccessibilityNodeInfo(info: AccessibilityNodeInfo) {
        super.onInitializeAccessibilityNodeInfo(info)
        if (translation == null) return
        info.rangeInfo = percentage(divider * PERCENT)
        info.addAction(AccessibilityAction.ACTION_SET_PROGRESS)
        if (divider < 1) info.addAction(AccessibilityAction.ACTION_SCROLL_FORWARD)
        if (divider > 0) info.addAction(AccessibilityAction.ACTION_SCROLL_BACKWARD)
    }

    override fun performAccessibilityAction(action: Int, arguments: Bundle?): Boolean {
        if (translation == null) return super.performAccessibilityAction(action, arguments)
        divider = when (action) {
            AccessibilityAction.ACTION_SCROLL_FORWARD.id -> divider + STEP
            AccessibilityAction.ACTION_SCROLL_BACKWARD.id -> divider - STEP
            AccessibilityAction.ACTION_SET_PROGRESS.id -> {
                val key = AccessibilityNodeInfo.ACTION_ARGUMENT_PROGRESS_VALUE
                val percent = arguments?.getFloat(key, Float.NaN) ?: Float.NaN
                if (percent.isNaN()) return false
                percent / PERCENT
            }
            else -> return super.performAccessibilityAction(action, arguments)
        }
        return true
    }

    private fun paint(colour: Int) =
        Paint(Paint.ANTI_ALIAS_FLAG).apply { color = context.getColor(colour) }

    private fun percentage(current: Float): RangeInfo =
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.R) {
            RangeInfo(RangeInfo.RANGE_TYPE_PERCENT, 0f, PERCENT, current)
        } else {
            @Suppress("DEPRECATION") // there is no constructor before API 30
            RangeInfo.obtain(RangeInfo.RANGE_TYPE_PERCENT, 0f, PERCENT, current)
        }

    private companion object {
        const val OPAQUE = 255
        const val PERCENT = 100f
        const val STEP = 0.05f
        const val LINE_DP = 2
        const val HANDLE_DP = 10
    }
}
