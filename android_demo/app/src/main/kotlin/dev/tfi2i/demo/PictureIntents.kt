package dev.tfi2i.demo

import android.content.ClipData
import android.content.ComponentName
import android.content.Context
import android.content.Intent
import android.net.Uri
import android.os.Build
import android.os.Parcelable
import android.provider.MediaStore

/** Lets the user choose a picture; neither way needs a permission. */
fun pickIntent(): Intent =
    if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
        Intent(MediaStore.ACTION_PICK_IMAGES).setType("image/*")
    } else {
        Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*")
    }

/** The picture that another app shares by an intent. */
fun sharedPicture(intent: Intent): Uri? =
    if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
        intent.getParcelableExtra(Intent.EXTRA_STREAM, Uri::class.java)
    } else {
        @Suppress("DEPRECATION") // the way before API 33
        intent.getParcelableExtra<Parcelable>(Intent.EXTRA_STREAM) as? Uri
    }

/** Offers other apps, but not this one, for a picture of [SharedPictures]. */
fun shareIntent(context: Context, picture: Uri): Intent {
    val send = Intent(Intent.ACTION_SEND)
        .setType(PICTURE_TYPE)
        .putExtra(Intent.EXTRA_STREAM, picture)
        .addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
    // The chooser passes the grant on for what is in the clip.
    send.clipData = ClipData.newRawUri(null, picture)
    return Intent.createChooser(send, context.getString(R.string.share_title))
        .putExtra(
            Intent.EXTRA_EXCLUDE_COMPONENTS,
            arrayOf(ComponentName(context, MainActivity::class.java)),
        )
}
