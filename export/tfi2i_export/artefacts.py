"""An exported file or folder as a function of pictures, and what it takes besides them."""

from collections.abc import Callable, Mapping
from pathlib import Path

from numpy.typing import ArrayLike

from tfi2i.conditions import Condition
from tfi2i.errors import InputError
from tfi2i.pictures.tiles import Pixels
from tfi2i_export.inputs import open_conditions, told_conditions
from tfi2i_export.saved_model.files import versions


def is_artefact(path: Path) -> bool:
    """Whether a path is a .tflite file or a SavedModel's folder, of one version or of several."""
    if path.suffix == ".tflite":
        return path.is_file()
    return (path / "saved_model.pb").is_file() or bool(path.is_dir() and versions(path))


def conditions_of(model: Path) -> tuple[Condition, ...]:
    """The conditions of a .tflite file or a SavedModel's folder, as its sidecar describes them.

    Raises:
        InputError: There is no such model, it is damaged, or differs from what its sidecar says.
    """
    from tfi2i_export.tflite.pictures import sidecar_of

    if _is_file(model):
        from tfi2i_export.tflite.interpreter import TFLiteTranslator

        shapes = TFLiteTranslator(model).extra
    else:
        from tfi2i_export.saved_model.pictures import extra_shapes, version_of

        model = version_of(model)
        shapes = extra_shapes(model)
    sidecar = sidecar_of(model) if shapes else None
    known = told_conditions(sidecar.signatures[0].inputs) if sidecar else ()
    return open_conditions(known, shapes, str(model))


def picture_translator(
    model: Path, *, values: Mapping[str, ArrayLike] | None = None, tile: int | None = None
) -> Callable[[Pixels], Pixels]:
    """Pixels (H, W, 3) of any size -> the same, by a .tflite file or a SavedModel's folder.

    Args:
        model: File or folder.
        values: Values (1, ...) of its inputs besides the picture by name.
        tile: Side of the tiles; see `tfi2i.pictures.tiles.Tiling`.

    Raises:
        InputError: There is no such model, it is damaged, or differs from what its sidecar says; or
            a value is missing or does not fit.
    """
    if _is_file(model):
        from tfi2i_export.tflite.pictures import TFLitePictureTranslator

        return TFLitePictureTranslator(model, tile=tile, inputs=values)
    from tfi2i_export.saved_model.pictures import saved_picture_translator

    return saved_picture_translator(model, values, tile=tile)


def _is_file(model: Path) -> bool:
    """Whether it is a .tflite file rather than a folder."""
    if model.suffix == ".tflite":
        return True
    if model.is_dir():
        return False
    raise InputError(f"There is no model {model}; give a .tflite file or a SavedModel's folder.")
