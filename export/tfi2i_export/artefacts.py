"""An exported file or folder as a function of pictures, and what it takes besides them."""

import functools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import ArrayLike

from tfi2i.conditions import Condition
from tfi2i.errors import InputError
from tfi2i.pictures.depth import PLAIN, Ranges
from tfi2i.pictures.tiles import Pixels
from tfi2i.terminal import printable
from tfi2i_export.encoders import companion_reader
from tfi2i_export.inputs import (
    NOTHING_TO_SAMPLE,
    Shape,
    conditions_in,
    open_conditions,
    picture_readers,
)
from tfi2i_export.saved_model.files import versions
from tfi2i_export.sidecar import Sidecar, read

log = logging.getLogger("tfi2i")


def is_artefact(path: Path) -> bool:
    """Whether a path is a .tflite file or a SavedModel's folder, of one version or of several."""
    if path.suffix == ".tflite":
        return path.is_file()
    return (path / "saved_model.pb").is_file() or bool(path.is_dir() and versions(path))


class Inputs(NamedTuple):
    """Inputs of a model besides the picture.

    Attributes:
        conditions: Conditions that are open.
        readers: Functions (pixels (H, W, 3), target) -> value, by the name of a condition that can
            be read from a picture.
        target: Domain of the pictures that come out; None: a label chooses it.
    """

    conditions: tuple[Condition, ...]
    readers: dict[str, Any]
    target: str | None


def inputs_of(model: Path) -> Inputs:
    """The inputs of a .tflite file or a SavedModel's folder, as its sidecar describes them.

    Raises:
        InputError: There is no such model, it is damaged, or differs from what its sidecar says.
    """
    from tfi2i_export.tflite.pictures import checked_sidecar, sidecar_of

    if _is_file(model):
        from tfi2i_export.tflite.interpreter import TFLiteTranslator

        checked_sidecar(model)
        shapes = TFLiteTranslator(model).extra
    else:
        from tfi2i_export.saved_model.pictures import extra_shapes, version_of

        model = version_of(model)
        shapes = extra_shapes(model)
    sidecar = sidecar_of(model) if shapes else None
    return _described(sidecar, shapes, model)


def ranges_of(model: Path) -> Ranges:
    """Numbers in picture files that are black and white to a model, as its sidecar tells them."""
    from tfi2i_export.saved_model.pictures import version_of
    from tfi2i_export.tflite.pictures import sidecar_of

    sidecar = sidecar_of(model if _is_file(model) else version_of(model))
    return Ranges(sidecar.value_range, sidecar.target_range) if sidecar else PLAIN


def warn_unverified(model: Path) -> None:
    """Says in the log of a .tflite file or a SavedModel's folder that it has no sidecar."""
    from tfi2i_export.saved_model.pictures import version_of

    path = model if _is_file(model) else version_of(model)
    beside = path.with_suffix(".json")
    if not beside.exists():
        name = path.name if _is_file(model) else f"{path.parent.name}/{path.name}"
        log.warning(
            "%s has no sidecar (%s) and is unverified: nothing tells a damaged file from the one "
            "that was exported.",
            *(printable(name), printable(beside.name)),
        )


def inputs_in(path: Path) -> Inputs:
    """The inputs of a served model, as the sidecar that it was exported with describes them.

    Raises:
        InputError: It is no sidecar.
    """
    sidecar = read(path)
    inputs = sidecar.signatures[0].inputs
    shapes = {one.name: (1, *one.shape[1:]) for one in inputs if one.kind is not None}
    return _described(sidecar, shapes, path)


def _described(sidecar: Sidecar | None, shapes: dict[str, Shape], where: Path) -> Inputs:
    inputs = sidecar.signatures[0].inputs if sidecar else ()
    conditions = open_conditions(conditions_in(inputs), shapes, str(where))
    target = sidecar.domains["target"] if sidecar else None
    labels = next((one.names for one in conditions if one.kind == "label"), ())
    readers: dict[str, Any] = {}
    for tensor in inputs:
        aspect = tensor.aspect or "squash"
        if tensor.encoder is not None:
            path, shape = where.parent / tensor.encoder, tensor.shape[1:]
            readers[tensor.name] = companion_reader(
                path, tensor.encoder_sha256, shape, labels, aspect
            )
        else:
            own = [one for one in conditions if one.name == tensor.name]
            readers |= picture_readers(own, aspect)
    return Inputs(conditions, readers, target)


def picture_translator(
    model: Path,
    *,
    values: Mapping[str, ArrayLike] | None = None,
    tile: int | None = None,
    deep: bool = False,
) -> Callable[[Pixels], Pixels]:
    """Pixels (H, W, 3) of any size -> the same, by a .tflite file or a SavedModel's folder.

    Args:
        model: File or folder.
        values: Values (1, ...) of its inputs besides the picture by name.
        tile: Side of the tiles; see `tfi2i.pictures.tiles.Tiling`.
        deep: True for pixels of 16 bits as results.

    Raises:
        InputError: There is no such model, it is damaged, or differs from what its sidecar says; or
            a value is missing or does not fit.
    """
    if _is_file(model):
        from tfi2i_export.tflite.pictures import TFLitePictureTranslator

        return TFLitePictureTranslator(model, tile=tile, inputs=values, deep=deep)
    from tfi2i_export.saved_model.pictures import saved_picture_translator

    return saved_picture_translator(model, values, tile=tile, deep=deep)


def sampler(model: Path) -> Callable[..., Pixels]:
    """Values (N, ...) by name -> pixels (N, H, W, 3), by a sampler's .tflite file or SavedModel.

    Raises:
        InputError: There is no such model, it is damaged, differs from what its sidecar says, or
            takes pictures.
    """
    if _is_file(model):
        from tfi2i_export.tflite.interpreter import TFLiteTranslator
        from tfi2i_export.tflite.pictures import checked_sidecar

        checked_sidecar(model)
        translator = TFLiteTranslator(model)
        takes_picture = translator.takes_picture
        sample: Callable[..., Pixels] = functools.partial(translator, None)
    else:
        from tfi2i_export.saved_model.files import signatures
        from tfi2i_export.saved_model.pictures import saved_sampler, version_of

        known = signatures(version_of(model)).get("predict_tensor")
        takes_picture = known is not None and "image" in known.inputs
        sample = saved_sampler(model)
    if takes_picture:
        raise InputError(f"{model} {NOTHING_TO_SAMPLE}")
    return sample


def _is_file(model: Path) -> bool:
    """Whether it is a .tflite file rather than a folder."""
    if model.suffix == ".tflite":
        return True
    if model.is_dir():
        return False
    raise InputError(f"There is no model {model}; give a .tflite file or a SavedModel's folder.")
