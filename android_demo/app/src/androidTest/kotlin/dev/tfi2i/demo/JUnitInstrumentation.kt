package dev.tfi2i.demo

import android.app.Activity
import android.app.Instrumentation
import android.os.Bundle
import org.junit.runner.Description
import org.junit.runner.JUnitCore
import org.junit.runner.Request
import org.junit.runner.notification.Failure
import org.junit.runner.notification.RunListener

/** Runs the tests on a phone with JUnit alone, and tells Gradle of each in the way it expects. */
class JUnitInstrumentation : Instrumentation() {
    override fun onCreate(arguments: Bundle?) {
        super.onCreate(arguments)
        running = this
        start()
    }

    override fun onStart() {
        val tests = Request.classes(AppTest::class.java)
        val core = JUnitCore().apply { addListener(Reports(tests.runner.testCount())) }
        val result = core.run(tests)
        val lines = result.failures.map { "${it.testHeader}: ${it.trace}" } +
            "${result.runCount} tests, ${result.failureCount} failed"
        finish(
            if (result.wasSuccessful()) Activity.RESULT_OK else Activity.RESULT_CANCELED,
            Bundle().apply {
                putString(REPORT_KEY_STREAMRESULT, lines.joinToString("\n", "\n", "\n"))
            },
        )
    }

    private inner class Reports(private val tests: Int) : RunListener() {
        private var begun = 0
        private var failure: Failure? = null

        override fun testStarted(test: Description) {
            begun++
            failure = null
            send(STARTED, test)
        }

        override fun testFailure(failed: Failure) {
            failure = failed
        }

        override fun testFinished(test: Description) =
            send(if (failure == null) PASSED else FAILED, test)

        private fun send(code: Int, test: Description) = sendStatus(
            code,
            Bundle().apply {
                putString(REPORT_KEY_IDENTIFIER, javaClass.name)
                putString("class", test.className)
                putString("test", test.methodName)
                putInt("numtests", tests)
                putInt("current", begun)
                putString("stack", failure?.trace)
            },
        )
    }

    companion object {
        private const val STARTED = 1
        private const val PASSED = 0
        private const val FAILED = -2

        /** The instrumentation of this process. */
        lateinit var running: Instrumentation
            private set
    }
}
