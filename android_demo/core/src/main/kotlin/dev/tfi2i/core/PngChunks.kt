package dev.tfi2i.core

import java.io.DataInputStream
import java.io.EOFException
import java.io.IOException
import java.io.InputStream
import java.util.zip.CRC32

/** What a file of 16 bits a channel says of its pixels. */
internal class PngHeader(val size: Size, private val colours: Int, val isInterlaced: Boolean) {
    private val isColoured: Boolean get() = colours and COLOUR != 0
    val hasAlpha: Boolean get() = colours and ALPHA != 0
    val numbers: Int get() = if (isColoured) CHANNELS else GREY
    val bytesPerPixel: Int get() = 2 * (numbers + if (hasAlpha) 1 else 0)

    private companion object {
        const val COLOUR = 2
        const val ALPHA = 4
    }
}

/** The parts of a PNG file one after the other, with their checksums. */
internal class PngChunks(private val input: DataInputStream) {
    private val checksum = CRC32()
    private var name = ""
    private var left = 0
    private var header: PngHeader? = null

    /** The numbers of the pixels that are transparent; null: there is no such colour. */
    var clear: List<Int>? = null
        private set

    /** The Exif orientation, once all of the file was read. */
    var orientation = 0
        private set

    /** The pixels as they are packed, which may be in several chunks. */
    val pixels: InputStream = object : InputStream() {
        override fun read(): Int {
            val one = ByteArray(1)
            return if (read(one, 0, 1) < 0) -1 else one[0].toInt() and 0xFF
        }

        override fun read(bytes: ByteArray, offset: Int, length: Int): Int {
            while (left == 0) {
                if (name != PIXELS) return -1
                close(isNeeded = true)
                begin()
            }
            return if (name == PIXELS) take(bytes, offset, length) else -1
        }
    }

    /** Of a file of 16 bits; null: it is another one. */
    fun header(): PngHeader? {
        val start = ByteArray(SIGNATURE.size)
        try {
            input.readFully(start)
        } catch (_: EOFException) {
            return null
        }
        if (!start.contentEquals(SIGNATURE)) return null
        begin()
        val body = body()
        if (name != "IHDR" || body.size != HEADER_BYTES) throw IOException("it has no header")
        close(isNeeded = true)
        val (bits, colours, packing, filters, interlacing) = body.drop(8)
        if (bits != 16.toByte()) return null
        val size = Size(whole(body, 4), whole(body, 0))
        val isKnown = colours in COLOURS && packing + filters == 0 && interlacing in 0..1
        if (!isKnown || size.height < 1 || size.width < 1) throw IOException("its header is wrong")
        return PngHeader(size, colours.toInt(), interlacing == 1.toByte()).also { header = it }
    }

    /** Reads up to the first of the pixels. */
    fun seekPixels() {
        begin()
        while (name != PIXELS) {
            if (name == END) throw IOException("it has no pixels")
            other()
            begin()
        }
    }

    /** Reads what follows the pixels; they are there, so that only their own damage counts. */
    fun finish() {
        while (name != END) {
            val isPixels = name == PIXELS
            if (isPixels) {
                skip()
                close(isNeeded = true)
            }
            try {
                if (!isPixels) other()
                begin()
            } catch (_: IOException) {
                return
            }
        }
    }

    private fun begin() {
        left = input.readInt()
        if (left < 0) throw IOException("a part of it has no length")
        val bytes = ByteArray(NAME_BYTES).also(input::readFully)
        name = bytes.decodeToString()
        checksum.reset()
        checksum.update(bytes)
    }

    /** Ends a chunk; tells whether it is whole, which one that [isNeeded] has to be. */
    private fun close(isNeeded: Boolean): Boolean {
        val isWhole = input.readInt() == checksum.value.toInt()
        if (isNeeded && !isWhole) throw IOException("the checksum of $name is wrong")
        return isWhole
    }

    /** Reads a chunk that is not of pixels; one that is damaged and not needed counts as none. */
    private fun other() {
        val isRead = name in READ && left <= LONGEST_READ
        val body = if (isRead) body() else byteArrayOf().also { skip() }
        if (!close(isNeeded = name.first().isUpperCase()) || !isRead) return
        val known = checkNotNull(header)
        if (name == "eXIf") orientation = orientation(body)
        if (name == "tRNS" && !known.hasAlpha && body.size == 2 * known.numbers) {
            clear = List(known.numbers) { short(body, 2 * it, false) }
        }
    }

    private fun body() = ByteArray(minOf(left, LONGEST_READ)).also {
        input.readFully(it)
        checksum.update(it)
        left -= it.size
    }

    private fun skip() {
        val bytes = ByteArray(minOf(left, PNG_BUFFER))
        while (left > 0) take(bytes, 0, bytes.size)
    }

    private fun take(bytes: ByteArray, offset: Int, length: Int): Int {
        val count = input.read(bytes, offset, minOf(left, length))
        if (count < 0) throw EOFException()
        checksum.update(bytes, offset, count)
        left -= count
        return count
    }

    private companion object {
        const val PIXELS = "IDAT"
        const val END = "IEND"
        const val NAME_BYTES = 4
        const val HEADER_BYTES = 13
        const val LONGEST_READ = 1 shl 20
        val SIGNATURE = byteArrayOf(0x89.toByte(), 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)
        val COLOURS = setOf<Byte>(0, 2, 4, 6)
        val READ = setOf("tRNS", "eXIf")
    }
}

private const val TIFF = 42
private const val ORIENTATION = 0x0112
private const val SHORT = 3
private const val ENTRY_BYTES = 12

/** The orientation that Exif data tell; 0: none. */
private fun orientation(exif: ByteArray): Int {
    if (exif.size < 8 || exif[0] != exif[1]) return 0
    val isLittle = exif[0] == 'I'.code.toByte()
    if (short(exif, 2, isLittle) != TIFF) return 0
    val start = whole(exif, 4, isLittle)
    if (start !in 8..exif.size - 2) return 0
    for (i in 0 until short(exif, start, isLittle)) {
        val at = start + 2 + i * ENTRY_BYTES
        if (at + ENTRY_BYTES > exif.size) return 0
        val isShort = short(exif, at + 2, isLittle) == SHORT
        val isIt = isShort && short(exif, at, isLittle) == ORIENTATION
        if (isIt) return short(exif, at + 8, isLittle)
    }
    return 0
}

private fun short(bytes: ByteArray, at: Int, isLittle: Boolean): Int {
    val (high, low) = if (isLittle) at + 1 to at else at to at + 1
    return (bytes[high].toInt() and 0xFF shl 8) or (bytes[low].toInt() and 0xFF)
}

private fun whole(bytes: ByteArray, at: Int, isLittle: Boolean = false): Int {
    val (high, low) = if (isLittle) at + 2 to at else at to at + 2
    return (short(bytes, high, isLittle) shl 16) or short(bytes, low, isLittle)
}
