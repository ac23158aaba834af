"""The inputs of a translator besides the picture, by name: a style, a latent code, a label.

Values are float32 and have the number of pictures as their first axis.
"""

import hashlib
import io
import tokenize
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfi2i.errors import InputError

Array = NDArray[np.float32]
Shape = tuple[int, ...]

MAGIC = b"\x93NUMPY"  # which every .npy file begins with
LARGEST = 1 << 26  # bytes of a file; a picture of 1024 x 1024 in float64 has 25 million

# What NumPy raises for a header that makes no sense, or is of Python 2.
_DAMAGE: tuple[type[Exception], ...] = (
    *(ValueError, TypeError, SyntaxError, EOFError, ArithmeticError, LookupError),
    *(MemoryError, RecursionError, tokenize.TokenError, Warning),
)


def shapes_of(model: Any) -> dict[str, Shape]:
    """By name the shapes, for one picture, of what a functional Keras model takes besides it."""
    return {one.name: (1, *one.shape[1:]) for one in model.inputs[1:]}


def drawn(
    system: Any, direction: str, shapes: Mapping[str, Shape], count: int, seed: int
) -> dict[str, Array]:
    """Typical values (count, ...) of those of a direction's conditions that `shapes` has.

    Raises:
        InputError: the system declares no condition for one of them, or of another shape.
    """
    values = system.values_of(direction, count, seed) if shapes else {}
    missing = [name for name in shapes if name not in values]
    if missing:
        raise InputError(
            f"{type(system).__name__} draws no values for its input {missing[0]!r}; declare it "
            "among its conditions."
        )
    chosen = {name: values[name] for name in shapes}  # not those that are baked
    return fitted(chosen, shapes, type(system).__name__, count)


def fitted(
    values: Mapping[str, ArrayLike], shapes: Mapping[str, Shape], where: str, count: int = 1
) -> dict[str, Array]:
    """Values as they are fed, (count, ...); those without the first axis, or one there, repeated.

    Args:
        values: by name; some may be missing.
        shapes: by name the shape for one picture.
        where: what takes them, for messages.
        count: of pictures.

    Raises:
        InputError: a name that is unknown, another shape, or no finite numbers.
    """
    fed = {}
    for name in [*shapes, *(name for name in values if name not in shapes)]:
        if name not in values:
            continue
        if name not in shapes:
            known = described(shapes) or "nothing, so leave it out"
            raise InputError(f"{where} takes no {name!r}; besides the picture it takes {known}.")
        value, shape = np.asarray(values[name]), shapes[name]
        if value.dtype.kind not in "biuf":
            raise InputError(f"{name} holds {value.dtype}, which are no real numbers.")
        if value.shape not in (shape[1:], shape, (count, *shape[1:])):
            each = f", or one for each picture: {(count, *shape[1:])}" if count > 1 else ""
            raise InputError(
                f"{name} has the shape {value.shape}; {where} takes {shape[1:]} or {shape}{each}."
            )
        with np.errstate(over="ignore"):  # what is infinite in float32 is refused
            value = value.astype(np.float32)
        if not np.isfinite(value).all():
            raise InputError(
                f"{name} holds numbers that are not finite; {where} takes finite ones."
            )
        fed[name] = np.broadcast_to(value, (count, *shape[1:]))
    return fed


def row(values: Mapping[str, Array], i: int) -> dict[str, Array]:
    """The values (1, ...) for one of several pictures."""
    return {name: value[i : i + 1] for name, value in values.items()}


def require_all(values: Mapping[str, Any], shapes: Mapping[str, Shape], where: str) -> None:
    """Makes sure that no value is missing.

    Raises:
        InputError: one is; the message has its name and the shape wanted.
    """
    missing = {name: shape for name, shape in shapes.items() if name not in values}
    if missing:
        name = next(iter(missing))
        raise InputError(
            f"{where} also takes {described(missing)}; give inputs={{{name!r}: array}}, or on the "
            f"command line --input {name}=FILE.npy."
        )


def described(shapes: Mapping[str, Shape]) -> str:
    """`style (8,), label (5,)`."""
    return ", ".join(f"{name} {shape[1:]}" for name, shape in shapes.items())


def files_by_name(texts: Sequence[str], option: str) -> dict[str, Path]:
    """What the command line names, each as NAME=FILE or as FILE, whose stem is the name then.

    Raises:
        InputError: a name that is given twice, or a text without a file.
    """
    files: dict[str, Path] = {}
    for text in texts:
        before, sign, after = text.partition("=")
        # Of another kind is a folder's name with a sign in it.
        name, file = (before, after) if sign and before.isidentifier() else (Path(text).stem, text)
        if not file:
            raise InputError(
                f"{option} {text}: give NAME=FILE.npy, or FILE.npy named as the input."
            )
        if name in files:
            raise InputError(f"{option} gives {name!r} twice; leave one out.")
        files[name] = Path(file)
    return files


def read_all(
    files: Mapping[str, Path], shapes: Mapping[str, Shape], where: str
) -> tuple[dict[str, Array], dict[str, dict[str, str]]]:
    """Values (1, ...) from .npy files by name, and for a sidecar what these files were.

    Raises:
        InputError: as `read` and `fitted`.
    """
    found = {name: read(path) for name, path in files.items()}
    values = fitted({name: array for name, (array, _) in found.items()}, shapes, where)
    return values, {
        name: {"file": files[name].name, "sha256": sha256} for name, (_, sha256) in found.items()
    }


def read(path: Path) -> tuple[NDArray[Any], str]:
    """The array of a .npy file and the file's SHA-256; nothing in it is executed.

    Raises:
        InputError: it cannot be read, is too large or no .npy file of plain values.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from error
    if len(content) > LARGEST:
        raise InputError(f"{path} has over {LARGEST:,} bytes, which no style or label has.")
    if not content.startswith(MAGIC):  # an archive of arrays could be anything unpacked
        raise InputError(f"{path} is not a .npy file; write one with numpy.save.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            array = np.load(io.BytesIO(content), allow_pickle=False)
    except _DAMAGE as error:
        raise InputError(
            f"{path} is damaged or holds objects; write an array of numbers with numpy.save."
        ) from error
    return array, hashlib.sha256(content).hexdigest()
