package dev.tfi2i.core

private val PLAIN_NAME = Regex("""(?!\.{1,2}$)[^/\\:\x00-\x1f]+""")
private val SHA256 = Regex("[0-9a-f]{64}")
private const val IN_A_LINE = """[^\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]"""
private val DIRECTION = Regex("$IN_A_LINE{1,100}")
private val TEXT = Regex("$IN_A_LINE{1,200}")
private const val MOST_PRESETS = 64
private const val MOST_NAMES = 1_000
private const val MOST_AXES = 8
private const val LARGEST_SIDE = 1 shl 14
private const val LARGEST_MULTIPLE = 64

internal fun read(file: SidecarField): Sidecar {
    val schema = file["schema"].whole(1L..Long.MAX_VALUE)
    if (schema > Sidecar.SCHEMA) {
        throw SidecarException(
            "This was made by a newer tfi2i (sidecar schema $schema; this app reads " +
                "${Sidecar.SCHEMA}); update the app.",
        )
    }
    if (file["format"].text() == "saved_model") {
        throw SidecarException(
            "This is of a SavedModel, which a phone does not run; export with --format int8.",
        )
    }
    val source = file["domains"]["source"].orNull { text(TEXT) }
    val signatures = file["signatures"]
    val io = Io.valueOf(file["io"].oneOf("float", "uint8").uppercase())
    return Sidecar(
        name = file["name"].text(),
        file = file["file"].text(PLAIN_NAME),
        sha256 = file["sha256"].text(SHA256),
        sizeBytes = file["size_bytes"].whole(0L..Long.MAX_VALUE),
        format = file["format"].text(),
        system = file["system"].text(),
        direction = file["direction"].text(DIRECTION),
        source = source,
        target = file["domains"]["target"].orNull { text(TEXT) },
        data = file["data"].text(),
        run = file["run"].text(),
        step = file["step"].whole(0..Int.MAX_VALUE),
        imageSize = file["image_size"].whole(1..LARGEST_SIDE),
        multiple = file["multiple"].whole(1..LARGEST_MULTIPLE),
        io = io,
        signatures = filled(signatures).map { signature(it, io, schema, source != null) }.also {
            val channels = it.map { one -> one.takenChannels to one.madeChannels }
            if (channels.distinct().size > 1) throw signatures.wrong("of the same channels")
        },
        agreement = file["agreement"].orNull { agreement(this) },
        licence = file["licence"].orNull { text() },
        created = file["created"].text(),
        warnings = file["warnings"].items().map { it.text() },
        valueRange = file.optional("value_range")?.let(::range),
        targetRange = file.optional("target_range")?.let(::range),
    )
}

private fun range(field: SidecarField): ValueRange {
    val numbers = field.items()
    if (numbers.size != 2) throw field.wrong("two numbers")
    val (black, white) = numbers.map { it.number() }
    return if (black < white) ValueRange(black, white) else throw field.wrong("two that rise")
}

private fun signature(
    field: SidecarField,
    io: Io,
    schema: Long,
    takesPicture: Boolean,
): Signature {
    val inputs = filled(field["inputs"])
    val pictures = if (takesPicture) 1 else 0
    val signature = Signature(
        name = field["name"].text(),
        inputs = inputs.take(pictures).map(::tensor) +
            inputs.drop(pictures).map { beside(it, schema) },
        outputs = filled(field["outputs"]).map(::tensor),
        takesPicture = takesPicture,
    )
    val given = signature.outputs.first()
    if (takesPicture) refuseOtherChannels(signature.inputs.first(), "takes")
    refuseOtherChannels(given, "makes")
    if (!takesPicture) {
        if (isPicture(given, io) && FREE !in given.shape) return signature
        throw field["outputs"].items().first().wrong("${picture(io)} of a fixed size")
    }
    val taken = signature.inputs.first()
    if (!isPicture(taken, io)) throw inputs.first().wrong(picture(io))
    if (!isPicture(given, io) || given.shape.dropLast(1) != taken.shape.dropLast(1)) {
        throw field["outputs"].items().first().wrong("${picture(io)} of the input's size")
    }
    return signature
}

/** Refuses pictures with alpha or of two bands, which [does] tells of. */
private fun refuseOtherChannels(tensor: Tensor, does: String) {
    val channels = tensor.shape.lastOrNull()
    if (tensor.shape.size != PICTURE_AXES || channels !in OTHER_CHANNELS) return
    throw SidecarException(
        "The model $does pictures of $channels channels, and this app shows grey and RGB alone; " +
            "use tfi2i translate.",
    )
}

private fun isPicture(tensor: Tensor, io: Io): Boolean =
    tensor.dtype == dtype(io) && hasPictureShape(tensor) && tensor.shape.first() == 1 &&
        0 !in tensor.shape

private fun hasPictureShape(tensor: Tensor): Boolean =
    tensor.shape.size == PICTURE_AXES && tensor.shape.last() in setOf(GREY, CHANNELS)

private fun picture(io: Io) = "a ${dtype(io)} picture (1, H, W, 3) or (1, H, W, 1)"

private fun dtype(io: Io) = if (io == Io.FLOAT) "float32" else "uint8"

private fun tensor(field: SidecarField) = Tensor(
    name = field["name"].text(),
    shape = field["shape"].items(MOST_AXES).map { it.whole(FREE..LARGEST_SIDE) },
    dtype = field["dtype"].text(),
    meaning = field["meaning"].text(),
)

/** An input besides the picture that there are values to choose from for. */
private fun beside(field: SidecarField, schema: Long): Tensor {
    val tensor = if (schema == 1L) tensor(field).copy(kind = "style") else described(field)
    if (tensor.dtype != "float32" || tensor.shape.firstOrNull() != 1 ||
        tensor.shape.any { it < 1 }) {
        throw field.wrong("of float32 numbers, (1, ...)")
    }
    if (tensor.isPicture) {
        refuseOtherChannels(tensor, "takes")
        if (hasPictureShape(tensor)) return tensor
        throw field.wrong("a picture (1, H, W, 3) or (1, H, W, 1)")
    }
    if (tensor.choices.isNotEmpty()) return tensor
    throw SidecarException(
        "The model takes ${tensor.name} besides the picture, and this has no presets for it; " +
            "export it with --bake, or again with this version of tfi2i.",
    )
}

private val RANGE = listOf(-1f, 1f)
private const val PICTURE_AXES = 4
private val OTHER_CHANNELS = setOf(2, 4)

private fun described(field: SidecarField): Tensor {
    val tensor = tensor(field)
    return tensor.copy(
        kind = field["kind"].orNull { oneOf("style", "latent", "label", "picture") },
        names = field["names"].items(MOST_NAMES).map { it.text(TEXT) },
        exclusive = field["exclusive"].flag(),
        distribution = field["distribution"].orNull { oneOf("normal", "uniform") },
        presets = field["presets"].items(MOST_PRESETS).map {
            Preset(it["name"].text(TEXT), it["values"].floats(tensor.shape.drop(1)))
        },
        encoder = field["encoder"].orNull { text(PLAIN_NAME) },
        range = field.optional("range")?.floats(listOf(2))?.also {
            if (it[0] >= it[1]) throw field.wrong("of a range whose second number is the larger")
        } ?: RANGE,
        isCropped = field.optional("aspect")?.oneOf("squash", "crop") == "crop",
    )
}

private fun agreement(field: SidecarField) = Agreement(
    reference = field["reference"].text(),
    pictures = field["pictures"].whole(1..Int.MAX_VALUE),
    psnrDbMean = field["psnr_db_mean"].orNull { number() },
    psnrDbWorst = field["psnr_db_worst"].orNull { number() },
    ssim = field["ssim"].number(),
    bias = field["bias"].items().map { it.number() },
    maxLevel = field["max_level"].number(),
    passed = field["passed"].flag(),
    accepted = field["accepted"].flag(),
)

private fun filled(field: SidecarField): List<SidecarField> =
    field.items().ifEmpty { throw field.wrong("one entry at least") }
