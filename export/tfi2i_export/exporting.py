"""`tfi2i export`: a run's translator in, an artefact whose agreement with it is known, out.

Nothing is written before the artefact has answered held-out pictures as its format promises.
"""

import dataclasses
import datetime
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata as versions
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfi2i.conditions import ANY, Direction
from tfi2i.data.dataset import Dataset
from tfi2i.errors import InputError
from tfi2i.files import replacing
from tfi2i.networks.strides import LARGEST_MULTIPLE, multiple_of
from tfi2i.pictures.depth import Ranges
from tfi2i.pictures.pixels import to_image, to_pixels
from tfi2i.pictures.sizes import Size, height_and_width
from tfi2i.runs.run import Run
from tfi2i.terminal import make_console
from tfi2i_export import encoders, onnx_files
from tfi2i_export import sidecar as sidecars
from tfi2i_export.agreement import Agreement, advice, agreement, table
from tfi2i_export.calibration import Pictures, Pixels
from tfi2i_export.choice import OPEN, STATIC, Choice, check
from tfi2i_export.graph.equalise import equalise
from tfi2i_export.graph.fold import fold, in_float32, parity_db
from tfi2i_export.graph.keras_graph import called
from tfi2i_export.inputs import (
    Array,
    baked_values,
    count_of,
    label_of,
    row,
    shapes_of,
    takes_picture,
)
from tfi2i_export.onnx_files import OnnxFile
from tfi2i_export.saved_model.writing import SavedTranslator, save
from tfi2i_export.scoring import evaluated
from tfi2i_export.sidecar import Sidecar
from tfi2i_export.signatures import of_file, of_onnx, of_saved_model, range_warnings
from tfi2i_export.tflite.conversion import convert, convolutions
from tfi2i_export.tflite.inspection import operations
from tfi2i_export.tflite.interpreter import TFLiteTranslator
from tfi2i_export.tflite.metadata import with_metadata
from tfi2i_export.tflite.quantization import auto, quantize

log = logging.getLogger("tfi2i")

EXACT_DB = 70.0  # of the rewritten graph against the translator, before any quantisation
EXACT_LEVELS = 1


def export(
    run: Run,
    data: Dataset,
    choice: Choice | None = None,
    *,
    system: Any = None,
    aspect: str = "squash",
    to: Path | None = None,
    force: bool = False,
    accept: bool = False,
    overwrite: bool = False,
) -> Path:
    """Exports a translator of a run; returns the artefact's path.

    That is NAME.tflite or NAME.onnx, with the sidecar NAME.json beside it, or the next version of a
    SavedModel: NAME/1, with NAME/1.json.

    Args:
        run: Run with a checkpoint.
        data: Dataset whose test pictures judge the artefact; its training ones calibrate it.
        choice: Choice of what to export; None: the system's first direction as int8.
        system: System of that checkpoint, where it is loaded already.
        aspect: Way in which pictures take their size, as in training.
        to: Folder, or an Android project, whose app gets it among its assets; None: the run's
            exports/.
        force: Permission for a format that is known to be bad.
        accept: Permission to write an artefact that misses its limits; the sidecar says so.
        overwrite: Permission to replace a file; a SavedModel gets another version.

    Raises:
        InputError: options that exclude each other, an artefact that is there already, or one that
            does not agree with the translator; nothing is written then.
    """
    choice = choice or Choice()
    check(choice, force)
    way = run.check_direction(choice.direction)
    target = _target(run.exports_dir if to is None else _folder(to, choice), choice, way, overwrite)
    system = system or run.load_system(choice.checkpoint)
    data = data.in_channels(system.channels)
    _check_channels(system, way, choice, to)
    translator = in_float32(system.network(way.name))
    shapes, kind = shapes_of(translator), type(system).__name__
    conditions = system.conditions_of(way.name) if shapes else ()
    wide = run.value_range(way.target or choice.label)
    baked, record = baked_values(choice.bake, choice.label, conditions, shapes, kind, aspect, wide)
    label = label_of(baked, conditions) if way.target in (None, ANY) else None
    way = dataclasses.replace(way, target=label or way.target)
    multiple = _known_multiple(translator)
    free = {name: shape for name, shape in shapes.items() if name not in baked}
    left = [one for one in conditions if one.name in free]
    sidecars.refuse_unnameable(left)
    reference = called(translator, baked)
    pictures = Pictures(data, system, way, choice, aspect, free)
    sizes = _sizes(translator, choice) or (system.sides,)
    folded = _folded(translator, baked, choice, sizes, pictures)
    artefact = _build(folded, choice, sizes, pictures, reference)
    if record:
        artefact.recipe["baked"] = record
    found = _compare(artefact, reference, choice, sizes, pictures)
    make_console(stderr=True).print(table(found))
    if not found.passed and not accept:
        raise InputError(
            f"{target.name} is not written: it does not agree with the translator as "
            f"{choice.format} promises. {advice(found, choice.format)} --accept writes it "
            "all the same."
        )
    extra = {one.name: sidecars.fields_of(one, way.target, aspect) for one in left}
    sidecar = _sidecar(run, system, data, choice, way, extra, artefact, found, sizes, multiple)
    sidecar = dataclasses.replace(
        sidecar, evaluation=evaluated(run, data, artefact.translator, sidecar, aspect)
    )
    half = choice.format not in ("float32", *OPEN)
    files = encoders.companions(
        left, way.target, system.image_size, half, functools.partial(pictures.references, "test")
    )
    return _written(artefact, sidecar, target, choice, aspect, files, run.ranges(way))


def _known_multiple(translator: keras.Model) -> int:
    """The number of which sides are multiples; refuses one that no reader of sidecars takes."""
    multiple = multiple_of(translator)
    if multiple > LARGEST_MULTIPLE:
        most = f"{multiple}, and apps and sidecars know at most {LARGEST_MULTIPLE}"
        raise InputError(f"Sides are multiples of {most}; export a network of fewer halvings.")
    return multiple


def _check_channels(system: Any, way: Direction, choice: Choice, to: Path | None) -> None:
    """Refuses what an app cannot show."""
    taken, made = (system.channels_of(domain) for domain in (way.source, way.target))
    if to is not None and _app(to).is_file() and not {taken, made} <= {1, 3}:
        raise InputError(
            f"{to} shows grey and RGB pictures, and this translates {taken} channels to {made}: "
            "leave out --to."
        )


def _app(to: Path) -> Path:
    return to / "app" / "src" / "main" / "AndroidManifest.xml"


def _folder(to: Path, choice: Choice) -> Path:
    """`to`, or where the app of an Android project looks for its models."""
    if not _app(to).is_file():
        return to
    if choice.suffix != ".tflite":
        raise InputError(f"{to} is an Android project, which takes .tflite files: leave out --to.")
    if choice.batch != 1:
        raise InputError(f"{to} is an Android project, which takes one picture: leave out --batch.")
    return _app(to).parent / "assets" / "models"


def _target(folder: Path, choice: Choice, way: Direction, overwrite: bool) -> Path:
    """The file, or the folder of versions, that an artefact goes to."""
    saved_model = choice.format == "saved_model"
    name = choice.name_of(way.name)
    target = folder / f"{name}{choice.suffix}"
    if saved_model and target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; name another folder with --to.")
    taken = target.exists() or target.with_suffix(".json").exists()
    if taken and not saved_model and not overwrite:
        raise InputError(f"{target} is there already; add --overwrite, or --to another folder.")
    return target


def _sizes(translator: keras.Model, choice: Choice) -> tuple[Size, ...] | None:
    """The sizes that were chosen, if the translator takes them; of a sampler the one it has."""
    is_sampler = not takes_picture(translator)
    shape = translator.output_shape if is_sampler else translator.inputs[0].shape
    own = None if shape[1] is None else (shape[1], shape[2])
    wanted = tuple(map(height_and_width, choice.sizes)) if choice.sizes else None
    if own is not None and (choice.dynamic or wanted not in (None, (own,))):
        does = "sampler makes" if is_sampler else "translator takes"
        raise InputError(
            f"This {does} pictures of {own[0]} x {own[1]} alone: leave out --sizes, --dynamic."
        )
    if is_sampler and own is not None:
        return (own,)
    multiple = multiple_of(translator)
    if own is None and any(side % multiple for size in wanted or () for side in size):
        raise InputError(
            f"--sizes are in pixels, multiples of {multiple}, such as 256,512 or 256x512."
        )
    return wanted


def _folded(
    translator: keras.Model,
    baked: dict[str, Array],
    choice: Choice,
    sizes: Sequence[Size],
    pictures: Pictures,
) -> dict[Size | None, keras.Model]:
    """The rewritten graphs by size, None for a free one; each proven to be the translator's."""
    free = choice.dynamic or (choice.format in OPEN and not choice.sizes)
    # ONNX has padding by reflection, and its runtimes are quick with convolutions of few filters.
    is_onnx = choice.format == "onnx"
    ways: dict[str, Any] = {
        "pad": "mirror" if is_onnx else choice.pad,
        "retile_output": not is_onnx,
    }
    free = free and takes_picture(translator) and translator.inputs[0].shape[1] is None
    folded: dict[Size | None, keras.Model] = {}
    for size in (None,) if free else sizes:
        pixels, extra = pictures.calibration(size or sizes[0])
        images = None if pixels is None else to_image(pixels)
        rewritten = fold(translator, side=size, baked=baked, **ways)
        # One more rewriting, exact too; of several sizes it would make weights of their own.
        if choice.quantised and len(sizes) == 1:
            k_power = 1.0 if choice.format in STATIC else 0.0
            rewritten = equalise(rewritten, images, extra, k_power=k_power)
        psnr_db, levels = parity_db(called(translator, baked), called(rewritten), images, extra)
        if psnr_db < EXACT_DB or levels > EXACT_LEVELS:
            raise InputError(
                f"The rewritten graph differs from the translator by {psnr_db:.0f} dB and {levels} "
                "levels of 255: please report this as a bug of tfi2i, with the run's config.yaml."
            )
        folded[size] = rewritten
    return folded


@dataclasses.dataclass
class _Artefact:
    """An artefact in memory."""

    content: bytes | keras.Model | OnnxFile
    recipe: dict[str, Any]

    def translator(self, size: Size, several: bool) -> Any:
        """Pixels (N, H, W, 3), and values (N, ...) of other inputs by name -> pixels."""
        if isinstance(self.content, bytes):
            signature = f"translate_{size[0]}x{size[1]}" if several else None
            return TFLiteTranslator(self.content, signature=signature)
        if isinstance(self.content, OnnxFile):
            return self.content
        return SavedTranslator(self.content)


def _build(
    folded: dict[Size | None, keras.Model],
    choice: Choice,
    sizes: Sequence[Size],
    pictures: Pictures,
    reference: Callable[..., Any],
) -> _Artefact:
    first = next(iter(folded.values()))
    recipe: dict[str, Any] = {
        "rewrites": ["folded", f"pad_{choice.pad}", "retiled_output"],
        "equalised": choice.quantised and len(sizes) == 1,
    }
    if recipe["equalised"]:
        recipe["equalisation_pictures"] = choice.calibration
    if choice.format == "saved_model":
        return _Artefact(first, recipe)
    if choice.format == "onnx":
        return _Artefact(onnx_files.convert(first, io=choice.io), {"rewrites": ["folded"]})
    graphs: Any = folded if len(sizes) > 1 else first
    model = convert(graphs, io=choice.io, half=choice.format == "float16", batch=choice.batch)
    if not choice.quantised:
        return _Artefact(model, recipe)
    layers = convolutions(first)
    # Not the pictures that judge: of many files the one chosen on them would be their luck.
    shown, extra = pictures.calibration(sizes[0])
    if choice.format == "auto":
        expected = _answers(reference, shown, extra)
        height, width = sizes[0]
        signature = f"translate_{height}x{width}" if len(sizes) > 1 else None

        made: dict[frozenset[str], dict[str, Any]] = {}

        def convert_with(in_float: frozenset[str]) -> bytes:
            content, made[in_float] = quantize(model, "int8-fast", layers=layers, in_float=in_float)
            return content

        def psnr(candidate: bytes) -> float:
            answers = TFLiteTranslator(candidate, signature=signature)(shown, **extra)
            return agreement(expected, answers, "auto").psnr_db_mean

        content, in_float = auto(convert_with, layers, psnr, choice.target_db)
        recipe |= made[in_float]
        recipe |= {"target_db": choice.target_db, "in_float": sorted(in_float)}
        return _Artefact(content, recipe)
    content, more = quantize(model, choice.format, layers=layers, calibration=shown, inputs=extra)
    return _Artefact(content, recipe | more)


def _answers(
    reference: Callable[..., Any], pixels: Pixels | None, extra: dict[str, Array]
) -> Pixels:
    """Translates pictures by the run itself, one at a time."""
    function = tf.function(reference, reduce_retracing=True)

    def answer(i: int) -> Pixels:
        image = None if pixels is None else to_image(pixels[i : i + 1])
        return to_pixels(np.asarray(function(image, **row(extra, i))))

    return np.concatenate([answer(i) for i in range(count_of(pixels, extra))])


def _compare(
    artefact: _Artefact,
    reference: Callable[..., Any],
    choice: Choice,
    sizes: Sequence[Size],
    pictures: Pictures,
) -> Agreement:
    """The agreement on held-out pictures; of several sizes the worst one."""
    found = []
    for size in sizes:
        pixels, extra = pictures.held_out(size)
        candidate = artefact.translator(size, len(sizes) > 1)(pixels, **extra)
        found.append(agreement(_answers(reference, pixels, extra), candidate, choice.format))
    return min(found, key=lambda one: (one.passed, one.psnr_db_mean))


def _sidecar(
    run: Run,
    system: Any,
    data: Dataset,
    choice: Choice,
    way: Direction,
    extra: Mapping[str, dict[str, Any]],
    artefact: _Artefact,
    found: Agreement,
    sizes: Sequence[Size],
    multiple: int,
) -> Sidecar:
    domains = {"source": way.source, "target": way.target}
    ranges = run.ranges(way)
    if isinstance(artefact.content, bytes):
        signatures = of_file(artefact.content, domains, extra)
    elif isinstance(artefact.content, OnnxFile):
        signatures = of_onnx(artefact.content.graph, domains, extra)
    else:
        tensor_only = choice.signatures == "tensor"
        signatures = of_saved_model(
            artefact.content, domains, tensor_only=tensor_only, extra=extra, ranges=ranges
        )
    warnings = [] if found.passed else ["It does not agree with the translator as it should."]
    if choice.format in STATIC:
        warnings.append("Ranges are fixed by calibration: pictures unlike those lose more.")
        more = (
            " int8-full (--force) leaves fewer, and loses more." if "npu" in choice.format else ""
        )
        warnings.append(_left_in_float(artefact) + more)
        log.warning(warnings[-1])
    warnings += range_warnings(ranges, (choice.format, choice.signatures) == ("saved_model", "all"))
    packages = {"tfi2i": "tfi2i", "tensorflow": "tensorflow", "litert": "ai-edge-litert"}
    packages |= {one: one for one in onnx_files.PACKAGES if choice.format == "onnx"}
    return Sidecar(
        name=choice.name_of(way.name),
        file="",
        sha256="0" * 64,
        size_bytes=0,
        format=choice.format,
        recipe=artefact.recipe,
        system=type(system).__name__,
        direction=way.name,
        domains=domains,
        data=data.name,
        run=run.name,
        step=system.step,
        image_size=sizes[0][0],
        image_width=None if sizes[0][0] == sizes[0][1] else sizes[0][1],
        multiple=multiple,
        io=choice.io,
        value_range=ranges.source,
        target_range=ranges.target,
        signatures=signatures,
        agreement=found.as_dict(accepted=True),  # without, nothing is written
        created=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        versions={name: _version(package) for name, package in packages.items()},
        warnings=tuple(warnings),
    )


def _left_in_float(artefact: _Artefact) -> str:
    """A sentence on what an accelerator without float cannot run of a .tflite file."""
    assert isinstance(artefact.content, bytes)
    kinds = artefact.recipe["float_operations"]
    every = sum(one.kind not in ("QUANTIZE", "DEQUANTIZE") for one in operations(artefact.content))
    return (
        f"{sum(kinds.values())} of {every} operations compute in float, which an accelerator that "
        f"has none leaves to the processor: {', '.join(sorted(kinds))}."
    )


def _version(package: str) -> str | None:
    try:
        return versions.version(package)
    except versions.PackageNotFoundError:
        return None


def _written(
    artefact: _Artefact,
    sidecar: Sidecar,
    target: Path,
    choice: Choice,
    aspect: str,
    files: Mapping[str, bytes],
    ranges: Ranges,
) -> Path:
    """The artefact, then its sidecar; a reader sees both whole or finds that they do not fit.

    The files of encoders, by the name of their input, are written between them.
    """
    if isinstance(artefact.content, bytes):
        sidecar = encoders.named(sidecar, files, target, aspect)
        with replacing(target) as temporary:
            temporary.write_bytes(with_metadata(artefact.content, sidecar))
    elif isinstance(artefact.content, OnnxFile):
        sidecar = encoders.named(sidecar, files, target, aspect)
        with replacing(target) as temporary:
            temporary.write_bytes(artefact.content.content)
    else:
        tensor_only = choice.signatures == "tensor"
        target = save(artefact.content, target, tensor_only=tensor_only, ranges=ranges)
        sidecar = encoders.named(sidecar, files, target, aspect)
    for name, content in files.items():
        with replacing(target.with_name(encoders.name_of(target.name, name))) as temporary:
            temporary.write_bytes(content)
    sha256, size = sidecars.fingerprint(target)
    sidecar = dataclasses.replace(sidecar, file=target.name, sha256=sha256, size_bytes=size)
    sidecars.write(sidecar, target.with_suffix(".json"))
    return target
