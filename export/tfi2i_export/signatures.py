"""The ways to call an artefact, as its sidecar tells them."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tfi2i.pictures.channels import COLOURS
from tfi2i.pictures.depth import PLAIN, Ranges
from tfi2i_export.saved_model.picture_files import KINDS, LARGEST, held_by_png
from tfi2i_export.saved_model.writing import FILES, TENSOR
from tfi2i_export.sidecar import Signature, Tensor
from tfi2i_export.tflite.conversion import SIGNATURE
from tfi2i_export.tflite.inspection import Tensors, TensorType, inspect
from tfi2i_export.tflite.interpreter import IMAGE_BYTES, INPUT, OUTPUT

Domains = Mapping[str, str | None]


def of_file(
    model: bytes, domains: Domains, extra: Mapping[str, Mapping[str, Any]] = {}
) -> tuple[Signature, ...]:
    """Returns those of a .tflite file.

    Args:
        model: Content as `conversion.convert` or `quantization.quantize` made it.
        domains: Names of "source" and "target", or None.
        extra: Fields of `Tensor` from `kind` on, by the name of the input besides the picture; of
            inputs that are not named, `kind` is "style".
    """
    known = inspect(model).signatures
    return tuple(_of_tensors(name, *both, domains, extra) for name, both in known.items())


def of_saved_model(
    folded: keras.Model,
    domains: Domains,
    *,
    tensor_only: bool,
    extra: Mapping[str, Mapping[str, Any]] = {},
    ranges: Ranges = PLAIN,
) -> tuple[Signature, ...]:
    """Returns those of a SavedModel, as `saved_model.save` gives them; arguments as `of_file`."""
    taken = {one.name: _type(one.shape) for one in folded.inputs}
    made = _type(folded.outputs[0].shape)
    if INPUT in taken:  # whose graph may not tell the sides of what it makes
        made = TensorType("float32", (*taken[INPUT].shape[:3], made.shape[3]))
    tensors = _of_tensors(TENSOR, taken, {OUTPUT: made}, domains, extra)
    if tensor_only:
        return (tensors,)
    beside = [one for one in tensors.inputs if one.kind is not None]
    return _of_picture_files(beside, domains, INPUT in taken, ranges), tensors


def range_warnings(ranges: Ranges, by_file: bool) -> list[str]:
    """The warnings of a run that reads or writes files in a range of values; none without one.

    Args:
        ranges: Numbers in picture files.
        by_file: True where it is a SavedModel with a signature for picture files.
    """
    said = []
    if ranges.source:
        low, high = ranges.source
        who = "tfi2i, the app and the page scale them, a server takes pictures that are scaled so."
        if by_file:
            who = f"tfi2i and {FILES} scale them, {TENSOR} takes pictures that are scaled so."
        said.append(
            f"Of picture files of more than 8 bits the values {low:g} to {high:g} are black to "
            f"white: {who}"
        )
        if by_file and (low < 0 or high > 65535):
            said.append(
                f"{FILES} reads PNG, which holds no numbers below 0 or above 65535: {TENSOR} takes "
                "such pictures, scaled."
            )
    if by_file and ranges.target and not held_by_png(ranges.target):
        low, high = ranges.target
        said.append(
            f"PNG cannot hold the values {low:g} to {high:g}: what {FILES} makes is black to white "
            "in 8 bits."
        )
    return said


def of_onnx(
    graph: keras.Model, domains: Domains, extra: Mapping[str, Mapping[str, Any]] = {}
) -> tuple[Signature, ...]:
    """Returns that of an ONNX file, which has one alone; arguments as `of_file`.

    Args:
        graph: Graph of pixels that the file was made from.
        domains: Names of "source" and "target", or None.
        extra: Fields of `Tensor`.
    """
    taken = {one.name: _type(one.shape, one.dtype) for one in graph.inputs}
    made = {OUTPUT: _type(graph.outputs[0].shape, graph.outputs[0].dtype)}
    return (_of_tensors(SIGNATURE, taken, made, domains, extra),)


def _type(shape: Sequence[int | None], dtype: str = "float32") -> TensorType:
    return TensorType(dtype, tuple(-1 if side is None else side for side in shape))


def _of_tensors(
    name: str,
    taken: Tensors,
    made: Tensors,
    domains: Domains,
    extra: Mapping[str, Mapping[str, Any]],
) -> Signature:
    def picture(name: str, type: TensorType, domain: str | None, meaning: str) -> Tensor:
        return Tensor(
            name=name,
            shape=type.shape,
            dtype=type.dtype,
            layout="NHWC",
            colour=COLOURS.get(type.shape[-1], "RGB"),
            range=(0, 255),
            domain=domain,
            meaning=meaning,
        )

    image = [
        picture(INPUT, type, domains["source"], "the picture to translate")
        for other, type in taken.items()
        if other == INPUT
    ]
    of = "translation" if image else "picture"
    beside = [
        Tensor(
            name=other,
            shape=type.shape,
            dtype=type.dtype,
            **{"meaning": f"the {of}'s {other}", "kind": "style", **extra.get(other, {})},
        )
        for other, type in taken.items()
        if other != INPUT
    ]
    about = "its translation" if image else "the picture that is made"
    translation = picture(OUTPUT, made[OUTPUT], domains["target"], about)
    return Signature(name=name, inputs=(*image, *beside), outputs=(translation,))


def _of_picture_files(
    beside: Sequence[Tensor], domains: Domains, takes_picture: bool, ranges: Ranges
) -> Signature:
    """Returns the signature of a SavedModel that takes and gives picture files."""

    def file(domain: str | None, meaning: str) -> Tensor:
        return Tensor(name=IMAGE_BYTES, shape=(-1,), dtype="string", domain=domain, meaning=meaning)

    taken = f"{KINDS}, of up to {LARGEST} pixels"
    if ranges.source:
        taken += ", with its own numbers, which are scaled by value_range here"
    image = [file(domains["source"], taken)] * takes_picture
    about = "its translation as a PNG file, of the same size"
    if ranges.target and held_by_png(ranges.target):
        about += ", of numbers from {:g} to {:g}".format(*ranges.target)
    translation = file(domains["target"], about if takes_picture else "the picture, a PNG file")
    return Signature(name=FILES, inputs=(*image, *beside), outputs=(translation,))
