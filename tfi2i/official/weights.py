"""The official PyTorch weights of a system: loaded into ours by name, and ours in their layout.

An official code is a module of this folder: its `NETWORKS`, `TRANSLATORS` (direction -> the
networks that its translator is made of), `tensors(system)` (network -> name -> (variable, layout))
and `architecture(networks, given)`. Some have `UNUSED`, a pattern of the names of tensors that the
source has and never uses, and `FILES`, the form of the names of files with one network each. The
layouts, PyTorch's shape -> ours:

| layout            | PyTorch        | ours            |                                          |
|-------------------|----------------|-----------------|------------------------------------------|
| "same"            | [K...]; [1]    | (K...); ()      | a scalar is a tensor of one number there |
| "conv"            | [out,in,h,w]   | (h, w, in, out) | or transposed, [in,out,h,w]              |
| "dense"           | [out,in]       | (in, out)       |                                          |
| ("flat_dense", C) | [out,C*s*s]    | (s*s*C, out)    | its input is a square of C channels      |
| ("conv_v", k)     | [in*k*k]       | (k*k*in,)       | spectral norm's v of a k x k kernel      |
| "rho"             | [1,K,2]        | (K, 2)          |                                          |
| "channel"         | [1,K,1,1]      | (K,)            |                                          |
| "plane"           | [K,1,1]        | (K,)            |                                          |
| "conv_of_one"     | [in,out,1,1]   | (1, 1, in, out) | a transposed convolution of 1 x 1        |
| "shuffle_conv"    | [4K,in,h,w]    | (h, w, in, 4K)  | a convolution before a 2 x pixel shuffle |
| "shuffle_bias"    | [4K]           | (4K,)           | its bias                                 |
| "modulated_conv"  | [1,out,in,h,w] | (h, w, in, out) | of StyleGAN 2                            |
| "constant"        | [K...]         | [K...]          | an array that is no variable             |

A "constant" is a number of the source's state that never changes, such as a blur filter: it is
exported, and on loading it is compared.
"""

import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfi2i.errors import InputError
from tfi2i.official.tensors import Arguments, Networks, Tensors
from tfi2i.terminal import printable

Layout = str | tuple[str, int]
Shape = tuple[int, ...]
_Step = Callable[[np.ndarray], np.ndarray]

_STRAY = ("total_ops", "total_params")
"""What an old tool for counting operations left in state dicts, among them released ones."""

_NORM_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
"""What old versions of PyTorch kept for instance normalisation too, and never used."""

_CONSTANT_TOLERANCE = 1e-6
_SHOWN = 5  # of a list of faults


def official_code(system_class: Any) -> Any:
    """The module of the official code of a system, or of the system that it extends.

    It has the name of the system's own module: `models/cut.py` and `official/cut.py`.

    Raises:
        InputError: There is none.
    """
    for cls in system_class.__mro__:
        package, _, name = cls.__module__.rpartition(".")
        if package == "tfi2i.models" and importlib.util.find_spec(f"tfi2i.official.{name}"):
            return importlib.import_module(f"tfi2i.official.{name}")
    raise InputError(f"{system_class.__name__} has no official code whose weights are known.")


def official_tensors(system: Any) -> dict[str, Tensors]:
    """The official tensors of a system by network and name: (our variable, its layout there)."""
    return official_code(type(system)).tensors(system)


# layouts


def to_official(array: np.ndarray, layout: Layout) -> np.ndarray:
    """A tensor in our layout -> PyTorch's; a scalar () becomes [1]."""
    return _both_ways(layout)[0](array)


def from_official(array: np.ndarray, layout: Layout) -> np.ndarray:
    """A tensor in PyTorch's layout -> ours; a scalar stays of shape (1,)."""
    return _both_ways(layout)[1](array)


def official_shape(shape: Shape, layout: Layout) -> Shape:
    """The shape in PyTorch's layout of a variable of `shape` in ours."""
    return to_official(np.broadcast_to(np.float32(0), shape), layout).shape  # takes no memory


def _both_ways(layout: Layout) -> tuple[_Step, _Step]:
    """Our layout of a tensor -> PyTorch's, and back."""
    match layout:
        case "same" | "constant":
            return lambda a: a.reshape(a.shape or 1), lambda a: a
        case "conv":
            return lambda a: a.transpose(3, 2, 0, 1), lambda a: a.transpose(2, 3, 1, 0)
        case "plane":
            return lambda a: a[:, None, None], lambda a: a[:, 0, 0]
        case "conv_of_one":
            return lambda a: a.transpose(2, 3, 0, 1), lambda a: a.transpose(2, 3, 0, 1)
        case "modulated_conv":
            return lambda a: a.transpose(3, 2, 0, 1)[None], lambda a: a[0].transpose(2, 3, 1, 0)
        case "dense":
            return np.transpose, np.transpose
        case "rho":
            return lambda a: a[None], lambda a: a[0]
        case "channel":
            return lambda a: a[None, :, None, None], lambda a: a[0, :, 0, 0]
        # PyTorch shuffles channel 4 k + 2 i + j to row i, column j of output channel k;
        # TensorFlow takes it from channel (2 i + j) K + k.
        case "shuffle_bias":
            return lambda a: _regrouped(a, 4), lambda a: _regrouped(a, len(a) // 4)
        case "shuffle_conv":
            return (
                lambda a: _regrouped(a, 4).transpose(3, 2, 0, 1),
                lambda a: _regrouped(a.transpose(2, 3, 1, 0), len(a) // 4),
            )
        case ("flat_dense", int(n)):
            return lambda a: _regrouped(a.T, len(a) // n), lambda a: _regrouped(a, n).T
        case ("conv_v", int(k)):
            return lambda a: _regrouped(a, k * k), lambda a: _regrouped(a, len(a) // k**2)
    raise ValueError(
        "The layouts are same, conv, dense, rho, channel, plane, shuffle_conv, shuffle_bias, "
        'modulated_conv, conv_of_one, constant, ("flat_dense", C) and ("conv_v", k); received '
        f"{layout!r}."
    )


def _regrouped(array: np.ndarray, groups: int) -> np.ndarray:
    """The last axis, in order of (group, member), in order of (member, group)."""
    split = array.reshape(*array.shape[:-1], groups, -1)
    return split.swapaxes(-1, -2).reshape(array.shape)


# a system's weights


def export_official(system: Any) -> dict[str, dict[str, np.ndarray]]:
    """All weights as the official code names and lays them out: network -> name -> array."""
    return {
        network: {
            name: to_official(np.array(variable), layout)  # a copy: TensorFlow's may change
            for name, (variable, layout) in tensors.items()
        }
        for network, tensors in official_tensors(system).items()
    }


def load_official(
    system: Any, networks: Mapping[str, Mapping[str, Any]], *, some: bool = False
) -> None:
    """Sets all weights of a system to official ones: network -> name -> array in PyTorch's layout.

    Averages of the weights start anew from them; optimizers keep their state. A "module." before
    every name and buffers that this system has no use for are passed over.

    Args:
        system: System.
        networks: Official arrays by network and name.
        some: True: networks that are not given keep their weights, and are no error.

    Raises:
        InputError: a network or a tensor is missing, unknown, of another shape, no finite
            floating-point array, or another constant; nothing has been assigned then.
    """
    for value, variable, layout in _matched(system, networks, some):
        if layout == "constant":
            continue
        array = from_official(value, layout).reshape(tuple(variable.shape))
        # A copy: TensorFlow may keep and update the very memory, and this may be a file's.
        double = str(variable.dtype) == "float64"
        variable.assign(np.array(array, np.float64 if double else np.float32))
    for name, average in getattr(system, "averages", {}).items():
        average.set_weights(getattr(system, name).get_weights())


def _matched(
    system: Any, networks: Mapping[str, Mapping[str, Any]], some: bool = False
) -> list[tuple[np.ndarray, Any, Layout]]:
    """Every official array with its variable and layout, once all of them fit."""
    wanted = official_tensors(system)
    owner = type(system).__name__
    if some and set(networks) <= set(wanted):
        wanted = {name: wanted[name] for name in wanted if name in networks}
    if set(networks) != set(wanted):
        raise InputError(
            f"The networks of {owner} are {listed(wanted)}, received {listed(networks)}; "
            "give the state dicts of exactly these."
        )
    matched: list[tuple[np.ndarray, Any, Layout]] = []
    unused = getattr(official_code(type(system)), "UNUSED", "")
    faults = []
    for network, tensors in wanted.items():
        given = {
            name: value
            for name, value in by_name(networks[network]).items()
            if name in tensors or not (_leaf(name) in _NORM_BUFFERS or re.fullmatch(unused, name))
        }
        faults += _faults(network, tensors, given)
        matched += [(given[name], *place) for name, place in tensors.items() if name in given]
    if faults:
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise InputError(
            f"These weights do not fit this {owner}: {'; '.join(faults[:_SHOWN])}{more}."
        )
    return matched


def _faults(
    network: str, wanted: Mapping[str, tuple[Any, Layout]], given: Mapping[str, Any]
) -> list[str]:
    """Faults that keep these tensors from being assigned, in words."""
    faults = [f"{network} lacks {name}" for name in wanted if name not in given]
    faults += [f"{network} has no {str(name)[:80]!r}" for name in given if name not in wanted]
    for name, (variable, layout) in wanted.items():
        if name not in given:
            continue
        value = given[name]
        shape = official_shape(tuple(variable.shape), layout)
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            what = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
            faults.append(f"{network} {name} is {what}, and floating-point numbers are wanted")
        elif value.shape != shape and not (shape == (1,) and value.shape == ()):
            faults.append(f"{network} {name} is {_sides(value.shape)}, {_sides(shape)} is wanted")
        elif not _is_finite(value):
            faults.append(f"{network} {name} has NaN or infinite values")
        elif layout == "constant" and not np.allclose(value, variable, 0, _CONSTANT_TOLERANCE):
            faults.append(f"{network} {name} is fixed, and other numbers are in it")
    return faults


def _is_finite(value: np.ndarray) -> bool:
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite
        return bool(np.isfinite(value.astype(np.float32, copy=False)).all())


def by_name(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors without strays and without the "module." that DataParallel puts before all names."""
    kept = {str(name): value for name, value in tensors.items() if _leaf(name) not in _STRAY}
    if all(name.startswith("module.") for name in kept):
        kept = {name.removeprefix("module."): value for name, value in kept.items()}
    return kept


def _leaf(name: Any) -> str:
    return str(name).rpartition(".")[2]


def _sides(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def listed(names: Any) -> str:
    """Names for a message: not many, not long, no control characters."""
    shown = [printable(str(name)[:80]) for name in names]
    return ", ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "")


def system_of(system_class: Any, networks: Networks, path: str | Path, model: Arguments) -> Any:
    """A system with official weights, whose architecture is read off their shapes.

    Networks that are not given are fresh.

    Raises:
        InputError: The tensors do not fit together or to the constructor arguments `model`.
    """
    config = deduced_arguments(system_class, networks, path, model)
    for key, value in model.items():
        if config.get(key, value) != value:
            raise InputError(
                f"{path} was trained with {key} {config[key]}, and {key} {value} is asked for; "
                f"leave {key} out."
            )
    arguments = {**config, **model}
    try:
        # Variables of a graph have shapes and no memory: a small file, whatever it claims, makes
        # no large network.
        with tf.Graph().as_default():
            _matched(system_class(**arguments), networks, some=True)
        system = system_class(**arguments)
        load_official(system, networks, some=True)
    except InputError as error:
        raise InputError(f"{path} cannot be loaded: {error}") from error
    except (ValueError, TypeError, OverflowError) as error:  # arguments that do not fit
        raise InputError(f"{path} does not make a {system_class.__name__}: {error}") from error
    return system


def deduced_arguments(
    system_class: Any, networks: Networks, path: str | Path, model: Arguments
) -> dict[str, Any]:
    """The system's own reading of the tensors, within the sizes that the file really has."""
    shapes = [value.shape for tensors in networks.values() for value in tensors.values()]
    if any(0 in shape for shape in shapes):
        raise InputError(f"{path} has empty tensors; a trained network has none.")
    try:
        config = official_code(system_class).architecture(networks, model)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (LookupError, ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"{path} has the networks of {system_class.__name__} without their tensors ({error}); "
            "a checkpoint of the official code is wanted."
        ) from error
    most = max(max(shape, default=1) for shape in shapes)
    for key, value in config.items():
        if isinstance(value, int) and value > most:
            raise InputError(
                f"{path} asks for {key} {value} and has no tensor of that size; "
                "a checkpoint of the official code is wanted."
            )
    return config
