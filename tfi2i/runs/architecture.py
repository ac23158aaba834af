"""Whether the settings of a run are those that its checkpoint was made with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfi2i import yaml_text
from tfi2i.errors import InputError
from tfi2i.terminal import printable


def require_same(config_path: Path, checkpoint: Path, made: Mapping[str, Any]) -> None:
    """Refuses settings that were edited: the system, or a number of section `model`.

    What only one of both has is passed over: it may be of another version.

    Args:
        config_path: Settings of a run, config.yaml.
        checkpoint: Checkpoint of the run.
        made: Class and arguments of what the checkpoint holds, as `read_config` has them.

    Raises:
        InputError: They differ, or config.yaml cannot be read.
    """
    document = yaml_text.read(config_path)
    settings = document.values if isinstance(document.values, Mapping) else {}
    system, kind = settings.get("system"), made.get("class_name")
    way_out = f"write that there again, as {checkpoint.name} cannot change, or begin a new run"
    if isinstance(system, str) and _is_system(kind) and system != kind:
        raise InputError(
            f"{document.where('system')}: system is {printable(system, 60)}, but {checkpoint}"
            f" holds a {kind}; {way_out}."
        )
    chosen, arguments = settings.get("model"), made.get("config")
    if not chosen or not isinstance(chosen, Mapping) or not isinstance(arguments, Mapping):
        return
    for name, value in (_defaults(kind) | dict(chosen)).items():
        if name in arguments and value is not None and plain(value) != plain(arguments[name]):
            there, here = (printable(str(plain(one)), 60) for one in (arguments[name], value))
            raise InputError(
                f"{document.where('model', name)}: model.{name} is {here}, but {checkpoint} was"
                f" made with {there}; {way_out}."
            )


def _is_system(kind: Any) -> bool:
    from tfi2i.models import ALL

    return isinstance(kind, str) and kind in ALL


def _defaults(kind: Any) -> dict[str, Any]:
    """Values of a system for arguments of its constructor that are left out."""
    from tfi2i.models import ALL
    from tfi2i.models.arguments import keywords_of

    if not _is_system(kind):
        return {}
    keywords = keywords_of(ALL[kind].__init__).items()
    return {name: one.default for name, one in keywords if one.default is not one.empty}


def plain(value: Any) -> Any:
    """A value as JSON has it, whether Keras wrote it or YAML."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "__tuple__":
            return plain(value.get("items"))
        if value.get("class_name") == "DTypePolicy" and isinstance(value.get("config"), Mapping):
            return value["config"].get("name")
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        items = [plain(one) for one in value]
        return items[0] if len(items) == 2 and items[0] == items[1] else items  # sides of a square
    return value
