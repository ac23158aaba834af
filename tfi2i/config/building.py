"""Systems and data of a configuration."""

from typing import Any

from tfi2i.config.config import Config, system_class
from tfi2i.errors import InputError


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


def recompile(system: Any, config: Config) -> None:
    """Compiles a system that has been trained with other numbers; optimizers and averages go on."""
    optimizers = {
        name: [variable.numpy() for variable in optimizer.variables]
        for name, optimizer in system.optimizers.items()
    }
    averages = {name: network.get_weights() for name, network in system.averages.items()}
    try:
        system.compile(**config.compile)
    except ValueError as error:
        raise InputError(f"{config.origin}: section `compile`: {error}") from error
    for name, values in optimizers.items():
        for variable, value in zip(system.optimizers[name].variables, values, strict=True):
            variable.assign(value)
    for name, weights in averages.items():
        if name in system.averages:
            system.averages[name].set_weights(weights)


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
    return data.swapped() if swap else data
