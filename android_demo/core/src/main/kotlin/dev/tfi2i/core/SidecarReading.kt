package dev.tfi2i.core

private val PLAIN_NAME = Regex("""(?!\.{1,2}$)[^/\\:\x00-\x1f]+""")
private val SHA256 = Regex("[0-9a-f]{64}")
private const val LARGEST_SIDE = 1 shl 14
private const val LARGEST_MULTIPLE = 64

internal fun modelCard(file: SidecarField): ModelCard {
    val schema = file["schema"].whole(1L..Long.MAX_VALUE)
    if (schema > ModelCard.SCHEMA) {
        throw ModelCardException(
            "This was made by a newer tfi2i (sidecar schema $schema; this app reads " +
                "${ModelCard.SCHEMA}); update the app.",
        )
    }
    if (file["format"].text() == "saved_model") {
        throw ModelCardException(
            "This is of a SavedModel, which a phone does not run; export with --format int8.",
        )
    }
    val io = Io.valueOf(file["io"].oneOf("float", "uint8").uppercase())
    return ModelCard(
        name = file["name"].text(),
        file = file["file"].text(PLAIN_NAME),
        sha256 = file["sha256"].text(SHA256),
        sizeBytes = file["size_bytes"].whole(0L..Long.MAX_VALUE),
        format = file["format"].text(),
        system = file["system"].text(),
        direction = file["direction"].oneOf("a2b", "b2a"),
        source = file["domains"]["source"].oneOf("a", "b"),
        target = file["domains"]["target"].oneOf("a", "b"),
        data = file["data"].text(),
        run = file["run"].text(),
        step = file["step"].whole(0..Int.MAX_VALUE),
        imageSize = file["image_size"].whole(1..LARGEST_SIDE),
        multiple = file["multiple"].whole(1..LARGEST_MULTIPLE),
        io = io,
        signatures = filled(file["signatures"]).map { signature(it, io) },
        agreement = file["agreement"].orNull { agreement(this) },
        licence = file["licence"].orNull { text() },
        created = file["created"].text(),
        warnings = file["warnings"].items().map { it.text() },
    )
}

private fun signature(field: SidecarField, io: Io): Signature {
    val signature = Signature(
        name = field["name"].text(),
        inputs = filled(field["inputs"]).map(::tensor),
        outputs = filled(field["outputs"]).map(::tensor),
    )
    val (taken, given) = listOf(signature.inputs.first(), signature.outputs.first())
    if (!isPicture(taken, io)) throw field["inputs"].items().first().wrong(picture(io))
    if (!isPicture(given, io) || given.shape != taken.shape) {
        throw field["outputs"].items().first().wrong("${picture(io)} of the input's size")
    }
    return signature
}

private fun isPicture(tensor: Tensor, io: Io): Boolean =
    tensor.dtype == dtype(io) && tensor.shape.size == 4 && tensor.shape.first() == 1 &&
        tensor.shape.last() == CHANNELS && 0 !in tensor.shape

private fun picture(io: Io) = "a ${dtype(io)} picture (1, H, W, 3)"

private fun dtype(io: Io) = if (io == Io.FLOAT) "float32" else "uint8"

private fun tensor(field: SidecarField) = Tensor(
    name = field["name"].text(),
    shape = field["shape"].items().map { it.whole(FREE..LARGEST_SIDE) },
    dtype = field["dtype"].text(),
    meaning = field["meaning"].text(),
)

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
