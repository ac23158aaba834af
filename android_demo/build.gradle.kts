plugins {
    alias(libs.plugins.android.application) apply false
    alias(libs.plugins.android.library) apply false
    // Also the version of Kotlin that the Android plugin compiles with.
    alias(libs.plugins.kotlin.jvm) apply false
}
