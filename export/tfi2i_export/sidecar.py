"""The sidecar: NAME.json beside an exported NAME.tflite or SavedModel folder, and what it promises.

Programs in Python, Kotlin and JavaScript read it, so it is plain JSON: snake_case, null for what is
absent, no NaN. Every field is described in sidecar.schema.json, which `write` and `read` enforce;
files of schema 1, which had fewer, are read as well.
"""

import dataclasses
import functools
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfi2i.conditions import Condition
from tfi2i.errors import InputError
from tfi2i.files import open_regular, sha256, to_json, write_text
from tfi2i.pictures.channels import COLOURS

SCHEMA = 2
"""The number of the format; it grows when an old reader would misread a new file."""

LARGEST = 1_000_000  # bytes of a sidecar; they have about 4 kB
MOST_NAMES = 1_000  # of a label, as sidecar.schema.json says
LARGEST_DOUBLE = sys.float_info.max
LARGEST_FLOAT = (2 - 2**-23) * 2.0**127  # in float32, which inputs besides the picture are

# Tensors of schema 1 lack these. Of inputs besides the picture it did not say what they are for.
_ADDED: dict[str, Any] = {
    **{"kind": None, "names": [], "exclusive": True},
    **{"distribution": None, "presets": [], "encoder": None},
    **{"encoder_sha256": None, "aspect": None},
}
_FORMER_KIND = "style"
_RANGES = ("value_range", "target_range")


@dataclasses.dataclass(frozen=True)
class Preset:
    """A value for an input, nested as the input's shape is without its first axis."""

    name: str
    values: list[Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tensor:
    """An input or output of a signature; the fields are described in sidecar.schema.json."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    layout: str | None = None
    colour: str | None = None
    range: tuple[float, float] | None = None
    scale: float | None = None
    zero_point: int | None = None
    domain: str | None = None
    meaning: str
    kind: str | None = None
    names: tuple[str, ...] = ()
    exclusive: bool = True
    distribution: str | None = None
    presets: tuple[Preset, ...] = ()
    encoder: str | None = None
    encoder_sha256: str | None = None
    aspect: str | None = None

    @property
    def choices(self) -> tuple[Preset, ...]:
        """Values to choose from: the names of an exclusive label, otherwise the presets."""
        count = len(self.names)
        if self.kind != "label" or not self.exclusive or self.shape[1:] != (count,) or not count:
            return self.presets
        rows = ([float(i == j) for j in range(count)] for i in range(count))
        return tuple(map(Preset, self.names, rows))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Signature:
    """One way to call the artefact, in the model's own names."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sidecar:
    """All about one artefact; the fields are described in sidecar.schema.json."""

    schema: int = SCHEMA
    name: str
    file: str
    sha256: str
    size_bytes: int
    format: str
    recipe: dict[str, Any]
    system: str
    direction: str
    domains: Mapping[str, str | None]
    data: str
    run: str
    step: int
    image_size: int
    image_width: int | None = None
    multiple: int
    io: str
    value_range: tuple[float, float] | None = None
    target_range: tuple[float, float] | None = None
    signatures: tuple[Signature, ...]
    agreement: dict[str, Any] | None = None
    evaluation: dict[str, Any] | None = None
    licence: str | None = None
    created: str
    versions: dict[str, str | None]
    warnings: tuple[str, ...] = ()

    @property
    def default_size(self) -> tuple[int, int]:
        """Height and width to use where a shape is free."""
        return self.image_size, self.image_width or self.image_size


def write(sidecar: Sidecar, path: Path) -> None:
    """Replaces `path` by the sidecar as JSON, the keys in the order of the fields.

    Raises:
        InputError: if a field is not as sidecar.schema.json says; nothing is written then.
    """
    text = to_json(dataclasses.asdict(sidecar), indent=2) + "\n"
    values = json.loads(text)
    problem = _problem(values) or _misfit(values)
    if not problem and text != text.encode(errors="replace").decode():
        problem = "a text holds what is not Unicode"
    if not problem and len(text.encode()) > LARGEST:
        problem = f"it would have over {LARGEST:,} bytes, which no reader takes"
    if problem:
        raise InputError(f"{path}: {problem}; the sidecar is not written.")
    write_text(path, text)


def read(path: Path) -> Sidecar:
    """Reads the sidecar of a file, of schema 1 as if it were 2; leaves out keys it does not know.

    Raises:
        InputError: if there is none, it is damaged, or a newer tfi2i made it.
    """
    values = _json(path)
    number = values.get("schema") if isinstance(values, dict) else None
    if isinstance(number, int) and number > SCHEMA:
        raise InputError(
            f"{path}: was made by a newer tfi2i (sidecar schema {number}; this version reads"
            f" {SCHEMA}); update tfi2i."
        )
    if type(number) is int and number == 1:
        _update(values)
    problem = _problem(values) or _misfit(values)
    if problem:
        raise InputError(f"{path}: is not a sidecar: {problem}; export the model again.")
    signatures = tuple(
        Signature(
            name=signature["name"],
            inputs=tuple(map(_tensor, signature["inputs"])),
            outputs=tuple(map(_tensor, signature["outputs"])),
        )
        for signature in values["signatures"]
    )
    known = _known(Sidecar, values)
    known |= {key: tuple(known.get(key) or ()) or None for key in _RANGES}
    return Sidecar(**(known | {"signatures": signatures, "warnings": tuple(known["warnings"])}))


def _update(values: dict[str, Any]) -> None:
    """Fills in what schema 1 lacks; what is no sidecar stays as it is, to be refused."""
    values["schema"] = SCHEMA
    for signature in _objects(values.get("signatures")):
        inputs, outputs = signature.get("inputs"), signature.get("outputs")
        for tensor in (*_objects(inputs), *_objects(outputs)):
            tensor.update(_ADDED)
        for tensor in _objects(inputs)[1:]:
            tensor["kind"] = _FORMER_KIND


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def verify(path: Path) -> Sidecar:
    """Reads the sidecar of a file, if the artefact it speaks of is beside it and unchanged.

    Raises:
        InputError: as `read`; or the artefact is missing, or of another size or SHA-256.
    """
    sidecar = read(path)
    artefact = path.parent / sidecar.file  # the schema lets only a plain name through
    if not artefact.is_file() and not artefact.is_dir():
        raise InputError(f"{path}: its model {sidecar.file} is not beside it; copy both together.")
    again = "copy the model and its sidecar again, or export the model again."
    try:
        size = _size(artefact)
        if size != sidecar.size_bytes:  # before reading a file that may be much too large
            raise InputError(
                f"{artefact}: has {size} bytes and its sidecar says {sidecar.size_bytes}; {again}"
            )
        sha256, _ = fingerprint(artefact)
    except OSError as error:
        raise InputError(f"{artefact}: cannot be read ({error.strerror or error}).") from error
    if sha256 != sidecar.sha256:
        raise InputError(
            f"{artefact}: has the SHA-256 {sha256[:12]}… and its sidecar says"
            f" {sidecar.sha256[:12]}…; {again}"
        )
    return sidecar


def fields_of(condition: Condition, target: str | None, aspect: str) -> dict[str, Any]:
    """Returns the fields of `Tensor` that describe a condition, for a target domain."""
    record = condition.record(target)
    picture: dict[str, Any] = {}
    if condition.kind == "picture":
        colour = COLOURS[condition.shape[-1]]
        picture = {"layout": "NHWC", "colour": colour, "range": (-1.0, 1.0), "aspect": aspect}
        picture |= {"meaning": "another picture", "domain": target}
    return picture | {
        "kind": record["kind"],
        "names": tuple(record["names"]),
        "exclusive": record["exclusive"],
        "distribution": record["distribution"],
        "presets": tuple(Preset(**preset) for preset in record["presets"]),
    }


def refuse_unnameable(conditions: Sequence[Condition]) -> None:
    """Makes sure that a sidecar can name all entries of labels.

    Raises:
        InputError: A label has too many.
    """
    for one in conditions:
        if one.kind == "label" and one.shape[0] > MOST_NAMES:
            raise InputError(
                f"{one.name} has {one.shape[0]:,} entries, and a sidecar names at most"
                f" {MOST_NAMES:,}; choose one by --label or give the value by --bake."
            )


def fingerprint(artefact: Path) -> tuple[str, int]:
    """(sha256, size_bytes) of a file, or of a folder.

    A folder's SHA-256 is that of the lines `sha256sum` writes for its files, by name in the order
    of bytes; its size is the sum of theirs.
    """
    if artefact.is_file():
        return sha256(artefact), _size(artefact)
    names = sorted(file.relative_to(artefact).as_posix() for file in _files(artefact))
    lines = "".join(f"{sha256(artefact / name)}  {name}\n" for name in names)
    return hashlib.sha256(lines.encode()).hexdigest(), _size(artefact)


def _size(artefact: Path) -> int:
    return sum(file.stat().st_size for file in _files(artefact))


def _files(artefact: Path) -> list[Path]:
    if artefact.is_dir():
        return [file for file in artefact.rglob("*") if file.is_file()]
    return [artefact]


def _json(path: Path) -> Any:
    try:
        with open_regular(path) as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise InputError(
            f"{path}: the sidecar cannot be read ({error.strerror or error});"
            " it lies beside the model it was exported with."
        ) from error
    if len(data) > LARGEST:
        raise InputError(f"{path}: has over {LARGEST} bytes, which no sidecar has.")
    try:
        values = json.loads(data.decode("utf-8"), parse_constant=_refuse)
        json.dumps(values, ensure_ascii=False).encode()  # half a surrogate pair is no text
        return values
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({error}); export the model again.") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"it contains {constant}")


def _known(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    fields = dataclasses.fields(kind)
    return {one.name: values[one.name] for one in fields if one.name in values}


def _tensor(values: dict[str, Any]) -> Tensor:
    known = _known(Tensor, {**_ADDED, **values})  # the last of these fields came later
    known |= {key: tuple(known[key]) for key in ("shape", "names")}
    known["range"] = known["range"] and tuple(known["range"])
    known["presets"] = tuple(Preset(one["name"], one["values"]) for one in known["presets"])
    return Tensor(**known)


def _misfit(values: dict[str, Any]) -> str | None:
    """Says what is wrong with a file that keeps to the schema: a range, a preset; None: nothing."""
    for key in _RANGES:
        low, high = values.get(key) or (0, 1)
        if not low < high:
            return f"{key} is {_shown([low, high])} and has to rise"
    for i, signature in enumerate(values["signatures"]):
        for j, tensor in enumerate(signature["inputs"]):
            shape = tensor["shape"][1:]
            for k, preset in enumerate(tensor["presets"]):
                if not _fits(preset["values"], shape):
                    where = f"signatures[{i}].inputs[{j}].presets[{k}].values"
                    return f"{where} has to hold numbers nested as {_shown(shape)}"
    return None


def _fits(values: Any, shape: list[int]) -> bool:
    if not shape:
        return _is_number(values) and abs(values) <= LARGEST_FLOAT
    if not isinstance(values, list) or len(values) != shape[0]:
        return False
    return all(_fits(one, shape[1:]) for one in values)


# sidecar.schema.json


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and abs(value) <= LARGEST_DOUBLE


@functools.cache
def _validator() -> Any:
    """Validator of the schema, stricter than JSON Schema.

    To that 1.0 is an integer, which Kotlin reads as a double, and a pattern's end may have a line
    feed behind it.
    """
    from jsonschema import (
        Draft202012Validator,
        ValidationError,
        validators,
    )

    def pattern(validator: Any, wanted: str, value: Any, schema: Any) -> Iterator[Any]:
        if isinstance(value, str) and not re.fullmatch(wanted, value):
            yield ValidationError("")

    types = Draft202012Validator.TYPE_CHECKER.redefine_many(
        {
            "integer": lambda _, value: type(value) is int,
            "number": lambda _, value: _is_number(value),
        }
    )
    path = Path(__file__).with_name("sidecar.schema.json")
    kind = validators.extend(Draft202012Validator, {"pattern": pattern}, type_checker=types)
    return kind(json.loads(path.read_text(encoding="utf-8")))


def _problem(values: Any) -> str | None:
    """Says what is wrong with a sidecar's JSON, at the first place where something is, or None."""
    error = next(_validator().iter_errors(values), None)
    if error is None:
        return None
    value, rule, wanted = error.instance, error.validator, error.validator_value
    what = "".join(map(_step, error.absolute_path)).removeprefix(".") or "the file"
    if rule == "required":
        return f"{what} lacks {next(key for key in wanted if key not in value)}"
    if rule in ("minItems", "maxItems"):
        least, most = error.schema.get("minItems", 0), error.schema.get("maxItems")
        more = f"{least} or more" if most is None else f"{least} to {most}"
        more = f"{least}" if least == most else more
        return f"{what} has {len(value)} entries and has to have {more}"
    wishes = {
        "type": lambda: f"be {wanted if isinstance(wanted, str) else ' or '.join(wanted)}",
        "enum": lambda: f"be one of {_shown(wanted)}",
        "pattern": lambda: f"match {wanted}",
        "minimum": lambda: f"be {wanted} or more",
    }
    return f"{what} is {_shown(value)} and has to {wishes[rule]()}"


def _step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part if part.isidentifier() and part.isascii() else _shown(part)}"


def _shown(value: Any) -> str:
    text = json.dumps(value)  # ASCII: a stranger's control characters stay out of the terminal
    return text if len(text) <= 60 else f"{text[:59]}…"
