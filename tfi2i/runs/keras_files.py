"""`.keras` files of strangers: checked before Keras opens them, and never with code inside."""

import zipfile
from pathlib import Path
from typing import Any

from tfi2i.errors import InputError

MAX_CONFIG_BYTES = 50_000_000


def load_translator(path: str | Path) -> Any:
    """A translator from a `.keras` file of anyone's: image -> image, a plain `keras.Model`.

    Raises:
        InputError: if the file is no Keras model, carries code, or maps no images to images.
    """
    import tfi2i.models  # noqa: F401  Keras finds our layers only once their modules are imported

    path = Path(path)
    model = load_keras(path, compile=False)
    shapes = [
        tuple(getattr(end, "shape", ())) for end in map(_first, (model.inputs, model.outputs))
    ]
    if any(len(shape) != 4 or shape[-1] != 3 for shape in shapes):
        raise InputError(
            f"{path}: maps {shapes[0]} to {shapes[1]}, but a translator maps images (N, H, W, 3)"
            " to images; give a file of a run's translators/ folder."
        )
    return model


def _first(ends: Any) -> Any:
    return ends[0] if isinstance(ends, list | tuple) and ends else None


def load_keras(path: Path, compile: bool) -> Any:
    """Whatever a `.keras` file of anyone's holds, without running code of its author's.

    Raises:
        InputError: if it is no such file, is damaged, unpacks to a bomb or carries code.
    """
    import keras

    if path.suffix != ".keras" or not path.is_file():
        raise InputError(f"{path}: is not a .keras file that exists.")
    _check_archive(path)
    try:
        # safe_mode refuses Lambda layers, whose code would run here.
        return keras.saving.load_model(path, compile=compile, safe_mode=True)
    except InputError:
        raise
    except Exception as error:  # Keras raises nearly anything for a damaged or foreign file
        if "lambda" in str(error).lower():
            raise InputError(
                f"{path}: is not loaded: it contains a Lambda layer, that is, its author's code."
            ) from error
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(
            f"{path}: cannot be loaded as a Keras model of this version: {reason}"
        ) from error


def _check_archive(path: Path) -> None:
    """Refuses what is no .keras file, or one that unpacks to far more than it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{path}: is damaged or no .keras file ({error}).") from error
    missing = {"config.json", "metadata.json", "model.weights.h5"} - set(sizes)
    if missing:
        raise InputError(f"{path}: is no .keras file: {', '.join(sorted(missing))} missing in it.")
    # Weights hardly compress; a layer is a few hundred bytes of JSON.
    if sizes["config.json"] > MAX_CONFIG_BYTES or sum(sizes.values()) > 20 * path.stat().st_size:
        raise InputError(
            f"{path}: unpacks to {sum(sizes.values()):,} bytes, which no model of its size does."
        )
