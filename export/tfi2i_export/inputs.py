"""The inputs of a translator besides the picture, by name: a style, a latent code, a label.

Values are float32 and have the number of pictures as their first axis.
"""

import dataclasses
import functools
import hashlib
import io
import logging
import tokenize
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfi2i.conditions import Condition, values_of
from tfi2i.data.resize import scaled_to
from tfi2i.errors import InputError
from tfi2i.files import open_regular, sha256
from tfi2i.pictures.channels import CHANNELS, in_channels
from tfi2i.pictures.depth import Range
from tfi2i.pictures.files import read_picture
from tfi2i.pictures.pixels import to_image

log = logging.getLogger("tfi2i")

Array = NDArray[np.float32]
Shape = tuple[int, ...]

NOTHING_TO_TRANSLATE = (
    "makes pictures of none, so there is nothing to translate; tfi2i sample makes them."
)

NOTHING_TO_SAMPLE = "translates pictures and makes none by itself; use tfi2i translate."

MAGIC = b"\x93NUMPY"  # which every .npy file begins with
LARGEST = 1 << 26  # bytes of a file; a picture of 1024 x 1024 in float64 has 25 million

# What NumPy raises for a header that makes no sense, or is of Python 2.
_DAMAGE: tuple[type[Exception], ...] = (
    *(ValueError, TypeError, SyntaxError, EOFError, ArithmeticError, LookupError),
    *(MemoryError, RecursionError, tokenize.TokenError, Warning),
)


def takes_picture(model: Any) -> bool:
    """Whether a functional Keras model's first input is a picture (N, H, W, C); no sampler's is."""
    first = model.inputs[0]
    if len(first.shape) != 4:
        return False
    return first.shape[-1] == 3 or (first.shape[-1] in CHANNELS and first.name == "image")


def beside(model: Any) -> list[Any]:
    """The inputs of a functional Keras model besides the picture; of a sampler all of them."""
    return model.inputs[takes_picture(model) :]


def shapes_of(model: Any) -> dict[str, Shape]:
    """By name the shapes, for one picture, of what a functional Keras model takes besides it."""
    return {one.name: (1, *one.shape[1:]) for one in beside(model)}


def drawn(
    system: Any,
    direction: str,
    shapes: Mapping[str, Shape],
    count: int,
    seed: int,
    given: Mapping[str, Array] | None = None,
) -> dict[str, Array]:
    """Typical values (count, ...) of those of a direction's conditions that `shapes` has.

    Raises:
        InputError: the system declares no condition for one of them, or of another shape.
    """
    values = system.values_of(direction, count, seed, given=given) if shapes else {}
    missing = [name for name in shapes if name not in values]
    if missing:
        raise InputError(
            f"{type(system).__name__} draws no values for its input {missing[0]!r}; declare it "
            "among its conditions."
        )
    free = {name: values[name] for name in shapes}  # not those that are baked
    return fitted(free, shapes, type(system).__name__, count)


def fitted(
    values: Mapping[str, ArrayLike], shapes: Mapping[str, Shape], where: str, count: int = 1
) -> dict[str, Array]:
    """Values as they are fed, (count, ...); those without the first axis, or one there, repeated.

    Args:
        values: Values by name; some may be missing.
        shapes: Shapes for one picture, by name.
        where: Name of what takes them, for messages.
        count: Number of pictures.

    Raises:
        InputError: a name that is unknown, another shape, or no finite numbers.
    """
    conditions = [Condition(name, "style", shape[1:]) for name, shape in shapes.items()]
    try:
        filled = values_of(conditions, count, given=values)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return {name: value for name, value in filled.items() if name in values}


def row(values: Mapping[str, Array], i: int) -> dict[str, Array]:
    """The values (1, ...) for one of several pictures."""
    return {name: value[i : i + 1] for name, value in values.items()}


def count_of(pictures: NDArray[Any] | None, values: Mapping[str, ArrayLike]) -> int:
    """Returns N of pictures (N, H, W, 3); without any, the most rows that a value (N, ...) has."""
    if pictures is not None:
        return len(pictures)
    return max((len(np.atleast_1d(value)) for value in values.values()), default=1)


def require_all(
    values: Mapping[str, Any],
    shapes: Mapping[str, Shape],
    where: str,
    argument: str = "inputs",
) -> None:
    """Makes sure that no value is missing.

    Raises:
        InputError: one is; the message has its name and the shape wanted.
    """
    missing = {name: shape for name, shape in shapes.items() if name not in values}
    if missing:
        name = next(iter(missing))
        raise InputError(
            f"{where} also takes {_described(missing)}; give {argument}={{{name!r}: array}}, or on "
            f"the command line --input {name}=FILE.npy."
        )


def _described(shapes: Mapping[str, Shape]) -> str:
    """Returns text such as `style (8,), label (5,)`."""
    return ", ".join(f"{name} {shape[1:]}" for name, shape in shapes.items())


def conditions_in(tensors: Sequence[Any]) -> tuple[Condition, ...]:
    """Returns the conditions among a sidecar's tensors, without those it knows no values for.

    Args:
        tensors: Inputs of a `sidecar.Signature`.
    """
    records = [
        dataclasses.asdict(tensor)
        | {"shape": tensor.shape[1:]}
        # Condition samples N(0, 1) alone; of another distribution it chooses a preset.
        | {"distribution": "normal" if tensor.distribution == "normal" else None}
        for tensor in tensors
    ]
    return tuple(
        Condition.of_record(record)
        for record in records
        if record["kind"] in ("label", "picture")
        or (record["kind"] and (record["distribution"] or record["presets"]))
    )


def open_conditions(
    known: Sequence[Condition], shapes: Mapping[str, Shape], where: str
) -> tuple[Condition, ...]:
    """Returns a condition for each input besides the picture; for one not known, a value is needed.

    Args:
        known: Conditions that the network's file, or its sidecar, describes.
        shapes: Shapes for one picture, by name.
        where: Name of what takes them, for messages.
    """
    by_name = {condition.name: condition for condition in known}

    def refuse(name: str, *drawing: object) -> Array:
        raise InputError(
            f"{where}: also takes {name} {shapes[name][1:]} and knows no values for it; give one "
            f"as {name}=FILE.npy."
        )

    return tuple(
        by_name.get(name)
        or Condition(name, "style", shape[1:], draw=functools.partial(refuse, name))
        for name, shape in shapes.items()
    )


def chosen(
    conditions: Sequence[Condition],
    *,
    count: int = 1,
    seed: int | None = None,
    given: Mapping[str, ArrayLike] | None = None,
    labels: str | None = None,
) -> dict[str, Array]:
    """Values (count, ...) of all conditions; logs which were sampled.

    Args:
        conditions: Conditions that are open in the network.
        count: Number of values, 1 for all pictures of a command.
        seed: Seed of what is neither given nor chosen by a label; None: 0.
        given: Values by name.
        labels: Labels by name.

    Raises:
        InputError: As `values_of`.
    """
    values = values_of(conditions, count, seed=seed or 0, given=given, labels=labels)
    label = next((one.name for one in conditions if one.kind == "label"), None)
    fixed = {*(given or {}), *([label] if labels is not None else [])}
    sampled = [name for name in values if name not in fixed]
    if sampled:
        which = "all pictures" if count == 1 else f"each of {count} pictures"
        log.info("Sampled %s with --seed %d for %s.", ", ".join(sampled), seed or 0, which)
    return values


def from_options(
    conditions: Sequence[Condition],
    readers: Mapping[str, Any],
    target: str | None,
    *,
    count: int = 1,
    files: tuple[str, Sequence[str]],
    reference: Path | None,
    labels: str | None,
    seed: int | None,
    unread: str,
    range_of: Callable[[str | None], Range | None] = lambda target: None,
) -> dict[str, Array]:
    """Values (count, ...) of all conditions: given, read from a reference picture, or sampled.

    Args:
        conditions: Conditions that are open in the network.
        readers: Functions (pixels (H, W, 3), target) -> value, by name; a reference is for an input
            that an encoder reads before one that is a picture.
        target: Domain of the results; None: a label chooses it.
        count: Number of values, 1 for all pictures of a command.
        files: Option that names files, for messages, and its texts, as of `files_by_name`.
        reference: File of a reference picture.
        labels: Labels by name.
        seed: Seed of what is neither given nor chosen by a label; None: 0.
        unread: Sentence on a network that reads no reference.
        range_of: Function of the domain of the results, of which pictures are given: the numbers in
            their files that are black and white.

    Raises:
        InputError: A file cannot be read, nothing reads the reference, or values do not fit.
    """
    kinds = {one.name: one.kind for one in conditions}
    pictures = {name: one for name, one in readers.items() if kinds.get(name) == "picture"}
    option, texts = files
    given = read_given(texts, option, pictures, range_of(target))
    seeded: dict[str, Any] = {"seed": seed, "labels": labels}
    if reference is not None:
        if not readers:
            raise InputError(f"--reference {reference}: {unread}")
        name = min(readers, key=lambda one: one in pictures)
        if name in given:
            raise InputError(
                f"{name!r} is given twice, by {option} and by --reference; leave one out."
            )
        target = target or _chosen_label(conditions, given, **seeded)
        pixels = read_picture(reference, value_range=range_of(target)).pixels
        given[name] = readers[name](pixels, target)
    return chosen(conditions, count=count, given=given, **seeded)


def _chosen_label(
    conditions: Sequence[Condition], given: Mapping[str, ArrayLike], labels: str | None, seed: Any
) -> str | None:
    """Returns the one label of the results; None: they may have several, or none."""
    label = next((one for one in conditions if one.kind == "label" and one.names), None)
    if label is None or not label.exclusive:
        return None
    own = {name: value for name, value in given.items() if name == label.name}
    row = values_of([label], 1, given=own, seed=seed or 0, labels=labels)[label.name][0]
    return label.names[int(row.argmax())]


def files_by_name(texts: Sequence[str], option: str) -> dict[str, Path]:
    """Files that the command line names, each as NAME=FILE or as FILE, whose stem is the name then.

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


def read_given(
    texts: Sequence[str],
    option: str,
    readers: Mapping[str, Any] | None = None,
    value_range: Range | None = None,
) -> dict[str, NDArray[Any]]:
    """Arrays by name, of what the command line names; raises as `files_by_name` and `read`.

    Args:
        texts: Texts as `files_by_name` takes them.
        option: Option, for messages.
        readers: Readers by name, as `picture_readers` makes them, of inputs for which a picture
            file may be given as well.
        value_range: Numbers in such files that are black and white.
    """
    files, known = files_by_name(texts, option), readers or {}
    return {name: _read(path, known.get(name), value_range)[0] for name, path in files.items()}


def _read(path: Path, reader: Any, value_range: Range | None) -> tuple[NDArray[Any], str]:
    """A value, of a picture too if there is a reader, and its file's SHA-256."""
    if reader is None or path.suffix == ".npy":
        return read(path)
    value = reader(read_picture(path, value_range=value_range).pixels, None)
    return value, sha256(path)


def picture_readers(conditions: Sequence[Condition], aspect: str = "squash") -> dict[str, Any]:
    """Returns by name, for inputs that are pictures, pixels (H, W, 3) and a target -> the value.

    Args:
        conditions: Conditions, of which those of another kind are left out.
        aspect: Way in which pictures take a shape: "squash" or "crop".
    """

    def reader(shape: Shape) -> Any:
        return lambda pixels, target: to_image(
            scaled_to(in_channels(pixels, shape[2]), shape[:2], aspect)
        )

    return {one.name: reader(one.shape) for one in conditions if one.kind == "picture"}


def baked_values(
    files: Mapping[str, Path],
    label: str | None,
    conditions: Sequence[Condition],
    shapes: Mapping[str, Shape],
    where: str,
    aspect: str = "squash",
    value_range: Range | None = None,
) -> tuple[dict[str, Array], dict[str, dict[str, str]]]:
    """Values (1, ...) by name of files and of a label, and for a sidecar what these were.

    Args:
        files: Files by name, .npy or for an input that is a picture one.
        label: Label by its name.
        conditions: Conditions of the network.
        shapes: Shapes for one picture, by name.
        where: Name of what takes them, for messages.
        aspect: Way in which pictures take a shape.
        value_range: Numbers in pictures' files that are black and white.

    Raises:
        InputError: A file cannot be read, or its value does not fit; there is no such label, or its
            value is given too.
    """
    readers = picture_readers(conditions, aspect)
    found = {name: _read(path, readers.get(name), value_range) for name, path in files.items()}
    values = fitted({name: array for name, (array, _) in found.items()}, shapes, where)
    record = {
        name: {"file": files[name].name, "sha256": sha256} for name, (_, sha256) in found.items()
    }
    if label is not None:
        named = [one for one in conditions if one.kind == "label"][:1]
        given = {one.name: values[one.name] for one in named if one.name in values}
        values |= values_of(named, 1, labels=label, given=given)
        record |= {one.name: {"labels": label} for one in named}
    return values, record


def label_of(values: Mapping[str, Array], conditions: Sequence[Condition]) -> str | None:
    """Returns the name of the one label that values (1, K) by name choose; None: none has one."""
    for one in conditions:
        if one.kind == "label" and one.exclusive and one.names and one.name in values:
            (places,) = np.nonzero(values[one.name][0])
            return one.names[places[0]] if len(places) == 1 else None
    return None


def read(path: Path) -> tuple[NDArray[Any], str]:
    """The array of a .npy file and the file's SHA-256; nothing in it is executed.

    Raises:
        InputError: it cannot be read, is too large or no .npy file of plain values.
    """
    try:
        with open_regular(path) as file:
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
