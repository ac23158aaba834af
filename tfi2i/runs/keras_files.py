"""`.keras` files of strangers: checked before Keras opens them, and never with code inside."""

import json
import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tfi2i.conditions import Condition
from tfi2i.errors import InputError, first_line, is_out_of_memory
from tfi2i.files import parsed, refuse_special, start_of, to_json
from tfi2i.pictures.channels import CHANNELS
from tfi2i.pictures.depth import PLAIN, Range, Ranges
from tfi2i.runs import completion
from tfi2i.terminal import printable

_Fact = TypeVar("_Fact")

MAX_CONFIG_BYTES = 50_000_000

# What zipfile raises for an archive that is damaged, encrypted or packed in another way.
_DAMAGE: tuple[type[Exception], ...] = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(OSError, EOFError, TypeError, ValueError, LookupError, OverflowError, RuntimeError),
)

CONDITIONS = "conditions.json"
"""File in the archive that describes what a network takes besides the picture; Keras ignores it."""
RANGES = "value_ranges.json"
"""File in the archive with the numbers in picture files that are black and white, if there are."""
_FACTS = 1_000_000  # bytes of such a file


def save_network(
    network: Any,
    path: Path,
    conditions: Sequence[Condition] = (),
    target: str | None = None,
    ranges: Ranges = PLAIN,
) -> None:
    """Writes a `.keras` file, in whose archive conditions and ranges of values are described.

    Args:
        network: Functional model.
        path: File to write.
        conditions: Conditions that are open in the network.
        target: Domain whose typical values are kept as presets.
        ranges: Numbers in files of the source and of the target that are black and white.
    """
    network.save(path)
    facts: dict[str, Any] = {}
    if conditions:
        facts[CONDITIONS] = [one.record(target) for one in conditions]
    if any(ranges):
        facts[RANGES] = ranges._asdict()
    if facts:
        with zipfile.ZipFile(path, "a") as archive:
            for name, fact in facts.items():
                archive.writestr(name, to_json(fact))


def read_conditions(path: Path) -> tuple[Condition, ...]:
    """The conditions that a network's `.keras` file describes; without any: none.

    Raises:
        InputError: The file is damaged, or describes them wrongly.
    """

    def made(records: Any) -> tuple[Condition, ...]:
        return tuple(Condition.of_record(record) for record in records)

    return _fact(path, CONDITIONS, made, ())


def read_ranges(path: Path) -> Ranges:
    """The numbers in files of source and target that a `.keras` file describes; None: pixels.

    Raises:
        InputError: The file is damaged, or describes them wrongly.
    """

    def made(record: Any) -> Ranges:
        return Ranges(_range(record["source"]), _range(record["target"]))

    return _fact(path, RANGES, made, PLAIN)


def _range(pair: Any) -> Range | None:
    if pair is None:
        return None
    low, high = map(float, pair)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"{low:g} to {high:g} is no range")
    return low, high


def _fact(path: Path, name: str, made: Callable[[Any], _Fact], otherwise: _Fact) -> _Fact:
    """The value that is made of a JSON file in an archive; another one without such a file."""
    sizes = _check_archive(path)
    if sizes.get(name, 0) > _FACTS:
        raise InputError(f"{path}: its {name} has {sizes[name]:,} bytes.")
    if name not in sizes:
        return otherwise
    try:
        with zipfile.ZipFile(path) as archive:
            return made(json.loads(archive.read(name)))
    except _DAMAGE as error:
        raise InputError(f"{path}: its {name} is damaged ({_told(error)}).") from error


def load_translator(path: str | Path) -> Any:
    """A network from a `.keras` file of anyone's: image (and conditions) -> image, a `keras.Model`.

    Raises:
        InputError: if the file is no Keras model, carries code, or maps no images to images.
    """
    import tfi2i.models  # noqa: F401  Keras finds our layers only once their modules are imported

    path = Path(path)
    model = load_keras(path, compile=False)
    inputs, outputs = (getattr(model, ends, None) for ends in ("inputs", "outputs"))
    shapes = [tuple(ends[0].shape) if ends else () for ends in (inputs, outputs)]
    names = {condition.name for condition in read_conditions(path)}
    no_picture = names and {tensor.name for tensor in inputs or ()} == names  # as in a sampler
    if any(
        len(shape) != 4 or shape[-1] not in CHANNELS for shape in shapes[1 if no_picture else 0 :]
    ):
        raise InputError(
            f"{path}: maps {shapes[0]} to {shapes[1]}, but a translator maps images (N, H, W, 3)"
            " to images; give a file of a run's translators/ folder."
        )
    return model


def load_keras(path: Path, compile: bool) -> Any:
    """Whatever a `.keras` file of anyone's holds, without running code of its author's.

    Raises:
        InputError: if it is no such file, is damaged, unpacks to a bomb or carries code; or is a
            run's, but not as the run wrote it.
    """
    import keras

    refuse_special(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a .keras file.")
    if path.suffix != ".keras" or not path.is_file():
        raise InputError(f"{path}: is not a .keras file that exists.")
    start_of(path, 1)
    completion.verify(path)
    from tfi2i.runs import declared  # imports Keras

    config = read_config(path)
    declared.check_settings(path, config)
    compile = compile and declared.is_system(config)
    try:
        most = declared.count_weights(path) + declared.SPARE
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"{path}: is damaged ({declared.WEIGHTS}: {_told(error)}).") from error
    try:
        with declared.Bound(most) as bound:
            # safe_mode refuses Lambda layers, whose code would run here.
            return keras.saving.load_model(path, compile=compile, safe_mode=True)
    except Exception as error:  # Keras raises nearly anything for a damaged or foreign file
        if bound.excess:
            raise InputError(
                f"{path}: {bound.excess} numbers, but all weights in the file are only"
                f" {most - declared.SPARE:,}."
            ) from error
        if isinstance(error, InputError) or is_out_of_memory(error):
            raise
        if "lambda" in str(error).lower():
            raise InputError(
                f"{path}: is not loaded: it contains a Lambda layer, that is, its author's code."
            ) from error
        raise InputError(
            f"{path}: cannot be loaded as a Keras model of this version:"
            f" {declared.fault(config, error, most)}."
        ) from error


def read_config(path: Path) -> dict[str, Any]:
    """The class and the arguments of what a `.keras` file holds: its config.json.

    Raises:
        InputError: The file is damaged.
    """
    _check_archive(path)
    try:
        with zipfile.ZipFile(path) as archive:
            raw = archive.read("config.json")
    except _DAMAGE as error:
        raise InputError(f"{path}: its config.json is damaged ({_told(error)}).") from error
    values = parsed(raw, f"{path}: its config.json", finite=False)
    return values if isinstance(values, dict) else {}


def _check_archive(path: Path) -> dict[str, int]:
    """Unpacked sizes by name; refuses what is no .keras file, or unpacks to far more than it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
    except _DAMAGE as error:
        raise InputError(f"{path}: is damaged or no .keras file ({_told(error)}).") from error
    missing = {"config.json", "metadata.json", "model.weights.h5"} - set(sizes)
    if missing:
        raise InputError(f"{path}: is no .keras file: {', '.join(sorted(missing))} missing in it.")
    # Weights hardly compress; a layer is a few hundred bytes of JSON.
    if sizes["config.json"] > MAX_CONFIG_BYTES or sum(sizes.values()) > 20 * path.stat().st_size:
        raise InputError(
            f"{path}: unpacks to {sum(sizes.values()):,} bytes, which no model of its size does."
        )
    return sizes


def _told(error: Exception) -> str:
    """An error's first line, in which zipfile may repeat a part of the file."""
    return printable(first_line(error)).removesuffix(".")
