plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "dev.tfi2i.demo"
    compileSdk = libs.versions.compile.sdk.get().toInt()

    defaultConfig {
        applicationId = "dev.tfi2i.demo"
        minSdk = libs.versions.min.sdk.get().toInt()
        targetSdk = libs.versions.target.sdk.get().toInt()
        versionCode = 1
        versionName = "0.1.0"
        testInstrumentationRunner = "dev.tfi2i.demo.JUnitInstrumentation"
        // LiteRT has no 32-bit libraries.
        ndk { abiFilters += listOf("arm64-v8a", "x86_64") }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }

    // Weights hardly shrink, and are copied out of the APK before they are used.
    androidResources { noCompress += "tflite" }
}

dependencies {
    implementation(project(":core"))
    implementation(project(":inference"))
    androidTestImplementation(libs.junit)
}
