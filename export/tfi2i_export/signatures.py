"""The ways to call an artefact, as its sidecar tells them."""

from collections.abc import Mapping, Sequence

import keras

from tfi2i_export.saved_model.picture_files import KINDS, LARGEST
from tfi2i_export.saved_model.writing import FILES, TENSOR
from tfi2i_export.sidecar import Signature, Tensor
from tfi2i_export.tflite.inspection import Tensors, TensorType, inspect
from tfi2i_export.tflite.interpreter import IMAGE_BYTES, INPUT, OUTPUT


def of_file(model: bytes, domains: Mapping[str, str]) -> tuple[Signature, ...]:
    """Those of a .tflite file.

    Args:
        model: as `conversion.convert` or `quantization.quantize` made it.
        domains: of "source" and "target".
    """
    known = inspect(model).signatures
    return tuple(_of_tensors(name, *both, domains) for name, both in known.items())


def of_saved_model(
    folded: keras.Model, domains: Mapping[str, str], *, tensor_only: bool
) -> tuple[Signature, ...]:
    """Those of a SavedModel, as `saved_model.save` gives them."""
    taken = {
        one.name: TensorType("float32", tuple(-1 if side is None else side for side in one.shape))
        for one in folded.inputs
    }
    tensors = _of_tensors(TENSOR, taken, {OUTPUT: taken[INPUT]}, domains)
    if tensor_only:
        return (tensors,)
    return _of_picture_files(tensors.inputs[1:], domains), tensors


def _of_tensors(name: str, taken: Tensors, made: Tensors, domains: Mapping[str, str]) -> Signature:
    def picture(name: str, type: TensorType, domain: str, meaning: str) -> Tensor:
        return Tensor(
            name=name,
            shape=type.shape,
            dtype=type.dtype,
            layout="NHWC",
            colour="RGB",
            range=(0, 255),
            domain=domain,
            meaning=meaning,
        )

    extra = [
        Tensor(name=other, shape=type.shape, dtype=type.dtype, meaning=f"the translation's {other}")
        for other, type in taken.items()
        if other != INPUT
    ]
    image = picture(INPUT, taken[INPUT], domains["source"], "the picture to translate")
    translation = picture(OUTPUT, made[OUTPUT], domains["target"], "its translation")
    return Signature(name=name, inputs=(image, *extra), outputs=(translation,))


def _of_picture_files(extra: Sequence[Tensor], domains: Mapping[str, str]) -> Signature:
    """The signature of a SavedModel that takes and gives picture files."""

    def file(domain: str, meaning: str) -> Tensor:
        return Tensor(name=IMAGE_BYTES, shape=(-1,), dtype="string", domain=domain, meaning=meaning)

    image = file(domains["source"], f"{KINDS}, of up to {LARGEST} pixels")
    translation = file(domains["target"], "its translation as a PNG file, of the same size")
    return Signature(name=FILES, inputs=(image, *extra), outputs=(translation,))
