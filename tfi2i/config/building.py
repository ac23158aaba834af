"""Systems and data of a configuration, and a run of a system that was made without one."""

import inspect
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tfi2i.config.config import Config, schema, system_class
from tfi2i.errors import InputError
from tfi2i.runs import environment
from tfi2i.runs.run import Run

log = logging.getLogger("tfi2i")


def build_system(config: Config) -> Any:
    """The system, constructed with the weights of `fit.seed` and compiled.

    Raises:
        InputError: for values that its constructor or `compile` refuses.
    """
    import keras

    keras.utils.set_random_seed(config.resolved().fit["seed"])
    section = "model"
    try:
        system = system_class(config.system)(**config.model)
        section = "compile"
        system.compile(**config.compile)
    except ValueError as error:
        raise InputError(f"{config.origin}: section `{section}`: {error}") from error
    return system


def recompile(system: Any, config: Config, changed: Collection[str] = ()) -> None:
    """Compiles a system that has been trained with other numbers; optimizers and averages go on.

    So do rates that callbacks have set, and what only Python can give: optimizers and schedules.

    Args:
        system: Compiled system.
        config: Configuration with all numbers.
        changed: Numbers that were changed on purpose: a rate among them replaces a schedule and
            what callbacks have set.

    Raises:
        InputError: for numbers that `compile` refuses, that would change the system's variables,
            or rates where the optimizers are the user's own.
    """
    before = _state(system)
    optimizers = {
        name: [variable.numpy() for variable in optimizer.variables]
        for name, optimizer in system.optimizers.items()
    }
    averages = {name: network.get_weights() for name, network in system.averages.items()}
    given, scales = vars(system.keras_options), system.optimizer.scales
    rates = sorted(name for name in changed if name.endswith("learning_rate"))
    if rates and system.keras_options.optimizer is not None:
        raise InputError(
            f"compile.{rates[0]}: the optimizers of this run were given in Python, and their rate"
            " can be changed there only."
        )
    if callable(system.learning_rate) and "learning_rate" not in changed:
        given = given | {"learning_rate": system.learning_rate}
    try:
        system.compile(**config.compile | given)
    except ValueError as error:
        raise InputError(f"{config.origin}: section `compile`: {error}") from error
    after = _state(system)
    if other := [name for name in before | after if before.get(name) != after.get(name)]:
        settings = " or ".join(f"compile.{name}" for name in changed) or "section compile"
        raise InputError(
            f"{config.origin}: {settings} would change what the run has trained so far"
            f" ({', '.join(other)}), and a run goes on with that; begin a new run, with --init of"
            " this one for its weights."
        )
    if not rates:
        system.optimizer.scales = scales
    for name, values in optimizers.items():
        for variable, value in zip(system.optimizers[name].variables, values, strict=True):
            variable.assign(value)
    for name, weights in averages.items():
        if name in system.averages:
            system.averages[name].set_weights(weights)


def _state(system: Any) -> dict[str, list[Any]]:
    """Shapes of the variables of networks, averages, pools and optimizers, by where they are."""
    found = {}
    for name, value in vars(system).items():
        parts = value.items() if isinstance(value, Mapping) else [("", value)]
        for key, part in () if name.startswith("_") else parts:
            if hasattr(part, "variables"):
                shapes = [tuple(variable.shape) for variable in part.variables]
                found[f"{name}.{key}".rstrip(".")] = [type(part), *shapes]
    return found


def build_data(config: Config) -> Any:
    """The data, opened but not read.

    Raises:
        InputError: for data that is not there, or a configuration without any.
    """
    from tfi2i.data import SOURCES

    if not config.data:
        raise InputError(
            f"{config.origin}: has no section `data`; add --set data.source=... with"
            f" {' or '.join(SOURCES)}."
        )
    arguments = dict(config.data)
    source, swap = SOURCES[arguments.pop("source")], arguments.pop("swap", False)
    data = source(**arguments)
    directions = system_class(config.system).directions_of(config.model)
    return (data.swapped() if swap else data).on(directions)


def require_trainable(config: Config, data: Any, system: Any = None) -> Any:
    """Refuses data that cannot be trained on, or tested while training; the remarks on the rest.

    Args:
        config: Configuration whose numbers count.
        data: Dataset of it.
        system: System, or None: the class that the configuration names says enough.

    Raises:
        InputError: The data, or the numbers for it, cannot be used.
    """
    from tfi2i.training import fit

    full = config.resolved()
    spec = system_class(config.system) if system is None else system
    image_size = full.model["image_size"]
    seen = SimpleNamespace(image_size=image_size, channels=full.model.get("channels", 3))
    in_channels = data.in_channels(seen.channels)
    said = in_channels.remarks()
    in_channels.batches(spec, image_size=image_size, **config.batches)
    used = inspect.signature(fit.check).parameters
    numbers = {key: value for key, value in full.fit.items() if key in used}
    fit.check(data, seen, full.batches["aspect"], **numbers)
    return said


def new_run(
    system: Any, data: Any = None, runs: str | Path = "runs", *, folder: str | None = None
) -> Run:
    """A run directory for a system made in Python: what every command and `export` take.

    It holds the settings and, of a system that has been trained, a checkpoint and the translators.
    `tfi2i.fit(system, data, run)` trains it further there, with reports and samples.

    Args:
        system: Compiled system.
        data: Dataset of `tfi2i.data`; of one by your own hands the run knows only the description,
            so that commands ask for it. None: the run has no data.
        runs: Folder of runs; made if it is not there.
        folder: Name of the run, instead of NUMBER-SYSTEM-DATA.

    Raises:
        InputError: The system is not compiled or no public one, or the folder cannot be used.
    """
    name = type(system).__name__
    tables = schema(name, None)
    if not system.optimizers:
        raise InputError(f"The {name} is not compiled; call its compile first.")
    numbers = {key: getattr(system, key) for key in tables["compile"]}
    if callable(numbers["learning_rate"]):
        log.warning("The run's settings name the first rate of a schedule; the checkpoint has all.")
        first = (float(numbers["learning_rate"](step)) for step in (0, 1))
        # A schedule that warms up begins at 0, which is no setting.
        numbers["learning_rate"] = next((rate for rate in first if rate > 0), None)
        if numbers["learning_rate"] is None:
            del numbers["learning_rate"]
    model = {key: one for key, one in system.get_config().items() if key in tables["model"]}
    settings = {} if data is None else data.settings
    config = Config(name, model=model, compile=numbers, data=dict(settings)).resolved()
    record = environment.describe() | ({} if data is None else {"data": data.description()})
    title = "data" if data is None else data.name
    trained = {"system": system, "translators": True} if system.step else {}
    return Run.create(runs, name, title, config.as_dict(), record, folder=folder, **trained)
