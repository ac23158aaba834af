"""Declarations of a `.keras` file: its configuration, compared with its layers and its weights.

Keras builds whatever a configuration says, and looks at the weights afterwards.
"""

import contextlib
import functools
import importlib
import inspect
import io
import math
import numbers
import re
import threading
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import keras

from tfi2i.errors import InputError
from tfi2i.limits import Unfit, fitted, shown
from tfi2i.models.model import GenerativeModel
from tfi2i.terminal import brief, printable

LARGEST = 100_000_000
"""The largest number among the settings of layers; seeds may be larger."""
_SPATIAL = {
    **dict.fromkeys(("padding", "cropping", "kernel_size", "dilation_rate"), 1_024),
    **dict.fromkeys(("strides", "size", "factor"), 256),
}
"""The largest numbers of settings by which maps grow beyond a picture."""
SPARE = 1_000_000
"""Numbers that layers may keep besides those that the file holds."""
WEIGHTS = "model.weights.h5"

_ALONE = threading.RLock()  # Keras' class of layers is the process'


def class_of(record: Any) -> type | None:
    """The class of an object in a configuration; None: it is not one of Keras' or of ours."""
    if not isinstance(record, dict) or not isinstance(record.get("config"), dict):
        return None
    name, module, registered = map(record.get, ("class_name", "module", "registered_name"))
    found = None
    if isinstance(registered, str):
        found = keras.saving.get_registered_object(registered)
    if found is None and isinstance(module, str) and module.split(".")[0] == "keras":
        with contextlib.suppress(ImportError, ValueError):
            found = getattr(importlib.import_module(module), str(name), None)
    return found if isinstance(found, type) else None


def is_system(record: Any) -> bool:
    """Whether a configuration is that of a system, with its training."""
    kind = class_of(record)
    return kind is not None and issubclass(kind, GenerativeModel)


# settings


def check_settings(path: Path, config: Any) -> None:
    """Makes sure that settings are of the types that their layers take, and numbers sensible.

    Args:
        path: File, for messages.
        config: Content of its config.json.

    Raises:
        InputError: A setting is not; it names the layer and the value.
    """
    try:
        _check(config, "the network", "config is", LARGEST)
    except _Senseless as error:
        raise InputError(f"{path}: {error}.") from error
    except RecursionError as error:
        raise InputError(f"{path}: its config.json is nested too deep.") from error


class _Senseless(Exception):
    """A setting that no layer has, and why."""


def _check(value: Any, owner: str, says: str, largest: float) -> None:
    """Checks a part of a configuration and all inside it.

    Args:
        value: The part.
        owner: Layer that it belongs to, for messages.
        says: Name of the setting that it belongs to, and a verb.
        largest: Largest number that it may hold.
    """
    if isinstance(value, list):
        for one in value:
            _check(one, owner, f"{says.rpartition(' ')[0]} holds", largest)
    elif isinstance(value, dict):
        kind = class_of(value)
        if kind is not None:
            owner = _owner(kind, value["config"], owner)
            _check_arguments(kind, owner, value["config"], _parameters(kind))
            if issubclass(kind, GenerativeModel):
                parameters = inspect.signature(kind.compile).parameters
                _check_arguments(kind, owner, value.get("compile_config"), parameters)
                largest = math.inf  # their own ranges hold
        for name, one in value.items():
            if name == "compile_config" and largest < math.inf:
                continue  # only systems are compiled
            inner = says if name in ("class_name", "config", "items") else f"{brief(name)} is"
            free = name in ("seed", "inbound_nodes", "shared_object_id")
            _check(one, owner, inner, math.inf if free else _SPATIAL.get(name, largest))
    elif isinstance(value, int | float) and not _is_sensible(value, largest):
        most = "" if largest == math.inf else f" and at most {largest:,}"
        raise _Senseless(f"{owner}: {says} {_shown(value)}, but numbers there are finite{most}")


def _is_sensible(value: float, largest: float) -> bool:
    return (isinstance(value, int) or math.isfinite(value)) and abs(value) <= largest


def _owner(kind: type, config: dict[str, Any], around: str) -> str:
    """An object of a configuration for messages; a part of a layer is named as the layer."""
    if issubclass(kind, GenerativeModel):
        return kind.__name__
    if issubclass(kind, keras.layers.Layer):
        return f"layer {brief(str(config.get('name')))} ({kind.__name__})"
    return around


def _check_arguments(
    kind: type, owner: str, values: Any, parameters: Mapping[str, inspect.Parameter]
) -> None:
    """Checks the types of arguments, and the ranges of those that have one by annotation."""
    for name, value in values.items() if isinstance(values, dict) else ():
        if name in parameters and (wish := _wish(kind, parameters[name], value)):
            raise _Senseless(f"{owner}: {brief(name)} is {_shown(value)}, but {wish}")


def _wish(kind: type, parameter: inspect.Parameter, value: Any) -> str | None:
    """The values that a class takes for an argument, in words; None: it may take this one."""
    if isinstance(value, dict) and "class_name" in value:
        if value["class_name"] != "__tuple__":
            return None  # an object
        value = value.get("items")
    annotation, default = parameter.annotation, parameter.default
    ours = kind.__module__.startswith("tfi2i.") or issubclass(kind, GenerativeModel)
    if ours and annotation is not parameter.empty:
        try:
            fitted(annotation, _whole(value))
        except Unfit as error:
            return f"{kind.__name__} {error}"
        return None
    if isinstance(default, bool):
        fits, wanted = value is None or value in (True, False), "true or false"
    elif isinstance(default, int | float):
        absent = value is None and isinstance(default, int)  # as an axis may be
        fits, wanted = absent or _is_numeric(value), "numbers"
    elif isinstance(default, str):
        fits, wanted = isinstance(value, str | None), "text"
    else:
        return None
    return None if fits else f"{kind.__name__} takes {wanted}"


@functools.cache
def _parameters(kind: type) -> dict[str, inspect.Parameter]:
    """Arguments of the constructors of a class and of those that it extends."""
    found: dict[str, inspect.Parameter] = {}
    for one in reversed(kind.__mro__):
        with contextlib.suppress(ValueError, KeyError):  # of classes in C there is no signature
            found |= inspect.signature(one.__dict__["__init__"]).parameters
    return found


def _whole(value: Any) -> Any:
    """A value whose whole numbers are integers; JSON may have 64 as 64.0."""
    if isinstance(value, list):
        return [_whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_numeric(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(map(_is_numeric, value))
    return isinstance(value, numbers.Real)


def _shown(value: Any) -> str:
    return brief(shown(value))


# weights


def count_weights(path: Path) -> int:
    """Number of the numbers in a file's weights, read off their shapes.

    Raises:
        InputError: They are damaged, or claim more bytes than they have.
    """
    with zipfile.ZipFile(path) as archive:
        content = archive.read(WEIGHTS)
    sizes: list[tuple[int, int]] = []

    def visit(_, found) -> None:
        if isinstance(found, h5py.Dataset):
            sizes.append((math.prod(found.shape or ()), found.dtype.itemsize))

    with h5py.File(io.BytesIO(content), "r") as file:
        file.visititems(visit)
    claimed = sum(count * size for count, size in sizes)
    if claimed > len(content):
        raise InputError(
            f"{path}: its {WEIGHTS} has {len(content):,} bytes and claims {claimed:,} of weights."
        )
    return sum(count for count, _ in sizes)


class Bound:
    """Scope in which layers make at most so many numbers; more raise, before they take memory.

    Attributes:
        excess: The layer that made too many, in words; None so far.
    """

    def __init__(self, most: int):
        self.most = most
        self.made = 0
        self.excess: str | None = None

    def __enter__(self) -> "Bound":
        _ALONE.acquire()
        self._thread = threading.get_ident()
        self._add_weight = add_weight = keras.layers.Layer.add_weight

        def counting(layer: Any, *args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() == self._thread:
                self._count(layer, kwargs.get("shape", args[0] if args else ()))
            return add_weight(layer, *args, **kwargs)

        keras.layers.Layer.add_weight = counting
        return self

    def __exit__(self, *error: object) -> None:
        keras.layers.Layer.add_weight = self._add_weight
        _ALONE.release()

    def _count(self, layer: Any, shape: Any) -> None:
        sides = shape if isinstance(shape, list | tuple) else (shape,)
        if not all(isinstance(side, int) and side >= 0 for side in sides):
            return  # Keras refuses it
        self.made += math.prod(sides)
        if self.made > self.most:
            declared = " x ".join(f"{side:,}" for side in sides)
            self.excess = f"layer {brief(layer.name)} ({type(layer).__name__}) declares {declared}"
            raise InputError(f"{self.excess} numbers.")


# errors


def fault(config: Any, error: BaseException, most: int) -> str:
    """Why Keras could not build a configuration, with the layer and the value if one is at fault.

    Args:
        config: Configuration.
        error: Error of Keras.
        most: Number of the numbers that layers may make.
    """
    for layer in _layers(config):
        alone = _failure(layer, most)
        if alone is not None:
            name = _owner(class_of(layer) or keras.layers.Layer, layer["config"], "")
            setting = _guilty(layer, most)
            value = f"{brief(setting)} is {_shown(layer['config'][setting])}: " if setting else ""
            return f"{name}: {value}{_reason(alone)}"
    if isinstance(error, LookupError | AttributeError | TypeError):
        return f"its layers do not fit together ({_reason(error)})"
    return _reason(error)


def _layers(config: Any) -> Iterator[dict[str, Any]]:
    """The layers of a functional model, and of those inside it."""
    inner = config.get("config") if isinstance(config, dict) else None
    layers = inner.get("layers") if isinstance(inner, dict) else None
    for layer in layers if isinstance(layers, list) else []:
        if isinstance(layer, dict) and isinstance(layer.get("config"), dict):
            if "layers" in layer["config"]:
                yield from _layers(layer)
            else:
                yield layer


def _failure(layer: dict[str, Any], most: int) -> Exception | None:
    """The error of Keras for a layer alone, made without memory for its weights."""
    try:
        with Bound(most), keras.StatelessScope(initialize_variables=False):
            keras.saving.deserialize_keras_object(layer, safe_mode=True)
    except Exception as error:  # Keras raises nearly anything
        return error
    return None


def _guilty(layer: dict[str, Any], most: int) -> str | None:
    """The setting of a layer without which, or with another value, it can be made."""
    kind = class_of(layer)
    for name in layer["config"] if kind is not None else ():
        parameter = _parameters(kind).get(name)
        if parameter is None or name == "name":
            continue
        others = {key: one for key, one in layer["config"].items() if key != name}
        if parameter.default is parameter.empty:
            others[name] = 1
        if _failure({**layer, "config": others}, most) is None:
            return name
    return None


def _reason(error: BaseException) -> str:
    """The line of Keras' message that says something."""
    told = re.sub(r"\x1b\[\d*m", "", str(error)).rpartition("Exception encountered: ")[2]
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    general = ("A total of ", "Exception encountered when ")
    if len(lines) > 1 and lines[0].startswith(general):
        lines = lines[1:]
    line = lines[0].partition(" Target variable:")[0] if lines else type(error).__name__
    return printable(line.removesuffix("."), 200)
