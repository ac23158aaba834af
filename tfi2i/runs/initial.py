"""The weights that a new training begins with: those of a run, a .keras file or an official model.

Layers are matched by their network's name and their own, and by the shapes of their variables.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from tfi2i.errors import InputError
from tfi2i.files import refuse_special
from tfi2i.models.arguments import keywords_of
from tfi2i.models.model import GenerativeModel
from tfi2i.official.checkpoints import read_checkpoint
from tfi2i.runs.keras_files import load_keras
from tfi2i.runs.run import Run

SHOWN = 5  # of a list of layers

Layers = dict[str, dict[str, Any]]
"""Variables by their names, of the layers `network/layer`."""


@dataclass(frozen=True)
class Initial:
    """A beginning: `fitting` of a system's `layers` have weights of `path`; the others are fresh.

    Attributes:
        path: Run, file or folder.
        step: Number of steps that those weights were trained; None where it is not known.
        fitting: Number of layers that fit.
        layers: Number of layers with weights.
        fresh: Networks and layers that do not fit, each with the reason.
        unused: Networks and layers of `path` that the system does not have.
    """

    path: Path
    step: int | None
    fitting: int
    layers: int
    fresh: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        share = f"{self.fitting} of {self.layers}" if self.fresh else f"all {self.layers}"
        text = f"{self.path}: {share} layers begin with its weights"
        text += f"; fresh: {_first(self.fresh)}" if self.fresh else ""
        return text + (f"; not used: {_first(self.unused)}" if self.unused else "") + "."

    def record(self) -> dict[str, Any]:
        """Plain values for the record of a run."""
        lists = {"fresh": list(self.fresh), "unused": list(self.unused)}
        counts = {"layers": self.layers, "fitting": self.fitting}
        return {"from": str(self.path.resolve()), "step": self.step, **counts, **lists}


def init_from(model: GenerativeModel, path: str | Path) -> Initial:
    """Gives a system the weights of another one as far as they fit, to train on other data.

    The step and the optimizers stay new. Averages of weights begin with them.

    Args:
        model: System, trained or not.
        path: Run, of which the last checkpoint is taken, with the weights that were trained and not
            their averages, as those of the discriminators belong to them; a .keras file of a system
            or a translator; or a checkpoint of the system's official code, a file or a folder.

    Raises:
        InputError: nothing can be read there, or no layer of it fits; nothing has been changed
            then.
    """
    path = Path(path)
    refuse_special(path, "file or a folder")
    theirs, step = _read(model, path)
    ours, fresh, assigned, fitting = _layers(_networks(model)), [], [], 0
    for name, variables in ours.items():
        found = theirs.get(name, {})
        if all(key in found and found[key].shape == own.shape for key, own in variables.items()):
            assigned += [(own, found[key]) for key, own in variables.items()]
            fitting += 1
        else:
            fresh.append((name, _difference(variables, found)))
    if not fitting:
        raise InputError(
            f"{path}: none of its layers fits this {type(model).__name__}:"
            f" {_first(_together(fresh, ours))}; give weights of the same architecture."
        )
    for own, value in assigned:
        own.assign(value)
    for name, average in model.averages.items():
        average.set_weights(getattr(model, name).get_weights())
    unused = _together([(name, "") for name in theirs if name not in ours], theirs)
    return Initial(path, step, fitting, len(ours), _together(fresh, ours), unused)


def _read(model: GenerativeModel, path: Path) -> tuple[Layers, int | None]:
    """The layers that have weights of a file or a folder, and the step of a system."""
    if path.is_dir() and (path / "config.yaml").is_file():
        source = Run(path).load_system()
        return _layers(_networks(source)), source.step
    if path.suffix == ".keras":
        source = load_keras(path, compile=True)
        if isinstance(source, GenerativeModel):
            return _layers(_networks(source)), source.step
        inner = {one.name: one for one in source.layers if isinstance(one, keras.Model)}
        return _layers(inner or {source.name: source}), None
    name = type(model).__name__
    checkpoint = read_checkpoint(name, path)
    given = {key: getattr(model, key) for key in keywords_of(type(model).__init__)}
    told = checkpoint.arguments(given)
    untold = {key: value for key, value in given.items() if key not in told}
    source = checkpoint.system(untold)
    came = {id(variable) for variable in checkpoint.variables(source)}
    return _layers(_networks(source), came), None


def _networks(system: GenerativeModel) -> dict[str, keras.Model]:
    """The networks by name; the first of a name is the system's own, another is its average."""
    networks: dict[str, keras.Model] = {}
    for layer in system.layers:
        if isinstance(layer, keras.Model):
            networks.setdefault(layer.name, layer)
    return networks


def _layers(networks: Mapping[str, keras.Model], only: set[int] | None = None) -> Layers:
    """The variables of layers; of networks that share some, the first has them.

    Args:
        networks: Networks by name.
        only: Identities of the variables that count; None: all.
    """
    layers: Layers = {}
    seen: set[int] = set()
    for name, network in networks.items():
        for variable in network.variables:
            if id(variable) not in seen and (only is None or id(variable) in only):
                layer, _, own = variable.path.rpartition("/")
                layers.setdefault(f"{name}/{layer}", {})[own] = variable
            seen.add(id(variable))
    return layers


def _difference(variables: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Why a layer does not fit, in words."""
    for key, own in variables.items():
        if key in found and found[key].shape != own.shape:
            there, here = ("x".join(map(str, one.shape)) for one in (found[key], own))
            return f"{key} is {there} there and {here} here"
    return f"without {', '.join(variables.keys() - found.keys())} there" if found else "not in it"


def _together(layers: list[tuple[str, str]], names: Iterable[str]) -> tuple[str, ...]:
    """Some of all `names` with a reason each; a network of which none is left out is one."""
    some = {name for name, why in layers if why in ("", "not in it")}
    left = {name.partition("/")[0] for name in names if name not in some}
    listed: dict[str, None] = {}
    for name, why in layers:
        network = name.partition("/")[0]
        short = name if network in left else network
        listed[f"{short} ({why})" if why else short] = None
    return tuple(listed)


def _first(names: Sequence[str]) -> str:
    """The first few of many, for a message."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
