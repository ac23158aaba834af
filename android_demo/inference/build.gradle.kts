plugins {
    alias(libs.plugins.android.library)
}

android {
    namespace = "dev.tfi2i.inference"
    compileSdk = libs.versions.compile.sdk.get().toInt()

    defaultConfig {
        minSdk = libs.versions.min.sdk.get().toInt()
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

// The tests in src/test need LiteRT's C library, which ci/jvm.sh brings; Gradle leaves them out.
androidComponents {
    beforeVariants { it.hostTests.values.forEach { tests -> tests.enable = false } }
}

dependencies {
    api(project(":core"))
    implementation(libs.litert)
}
