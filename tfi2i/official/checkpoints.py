"""Checkpoints of official PyTorch codes as they lie on disk: one file, a folder, or a part of one.

CycleGAN's authors publish one generator for a data set, `latest_net_G.pth`: what is there is
loaded, and the other networks are fresh.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfi2i.errors import InputError
from tfi2i.files import refuse_special
from tfi2i.models import ALL
from tfi2i.models.arguments import keywords_of
from tfi2i.official.tensors import NOTHING, Arguments, Networks
from tfi2i.official.torch_files import read_torch
from tfi2i.official.weights import (
    by_name,
    deduced_arguments,
    listed,
    official_code,
    official_tensors,
    system_of,
)

FILES = "{}_net_{}.pth"
"""The form of the names of files with one network each: of a tag, and of the network."""

LONE = "G"
"""The name that CycleGAN's code gives the only generator of a translator to use."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """The networks of an official checkpoint, and those that it lacks."""

    path: str | Path
    system_name: str
    networks: Networks
    fresh: tuple[str, ...]

    def system(self, model: Arguments = NOTHING) -> Any:
        """The system, its architecture read off the tensors, not compiled.

        Raises:
            InputError: The tensors do not fit together, or to the constructor arguments `model`.
        """
        return system_of(ALL[self.system_name], self.networks, self.path, model)

    def arguments(self, given: Arguments = NOTHING) -> dict[str, Any]:
        """The constructor arguments that the tensors tell, where others are `given`.

        Raises:
            InputError: The tensors are of another architecture.
        """
        system_class: Any = ALL[self.system_name]
        told = deduced_arguments(system_class, self.networks, self.path, given)
        usual = keywords_of(system_class.__init__).get("upsampling")  # all that official codes have
        return told | ({"upsampling": usual.default} if usual else {})

    def variables(self, system: Any) -> list[Any]:
        """The variables of such a system that came from the checkpoint."""
        tensors = official_tensors(system)
        places = (place for name in self.networks for place in tensors[name].values())
        return [variable for variable, layout in places if layout != "constant"]


def import_checkpoint(
    system_name: str,
    path: str | Path,
    *,
    model: Arguments | None = None,
    direction: str | None = None,
) -> Any:
    """A system with the weights of an official PyTorch checkpoint; PyTorch is not needed.

    The architecture is read off the tensors' shapes. Optimizers' states and the step are not taken
    over, and the system is not compiled. Networks that the checkpoint lacks are fresh, which the
    log says.

    Args:
        system_name: Key of `tfi2i.models.ALL`.
        path: A .pt or .pth file, of whichever PyTorch version, or a folder of files that hold one
            network each, as `read_networks` takes them.
        model: Constructor arguments, for what the tensors do not tell, such as `image_size`.
        direction: Direction of a file that holds one generator alone; None: the first.

    Raises:
        InputError: an unknown system, an unreadable or missing file, one of another system, a
            folder of several checkpoints, or arguments that contradict the file.
    """
    return read_checkpoint(system_name, path, direction=direction).system(model or {})


def read_checkpoint(
    system_name: str, path: str | Path, *, direction: str | None = None
) -> Checkpoint:
    """The networks of a checkpoint of which at least one translator is whole; see above.

    Raises:
        InputError: as of `import_checkpoint`.
    """
    if system_name not in ALL:
        raise InputError(f"The systems are {listed(ALL)}; received {system_name!r}.")
    code = official_code(ALL[system_name])
    if direction not in (None, *code.TRANSLATORS):
        raise InputError(
            f"{system_name} has no direction {direction!r}; choose {' or '.join(code.TRANSLATORS)}."
        )
    if hasattr(code, "PARTS"):
        contents = read_parts(path, code.PARTS)
    else:
        form = getattr(code, "FILES", FILES)
        contents = read_networks(path, code.NETWORKS, code.TRANSLATORS, form)
    alone = _alone(contents, code.NETWORKS)
    if alone is not None:
        contents = _named(alone, code.TRANSLATORS, direction, system_name, path)
    elif direction is not None:
        raise InputError(
            f"{path}: names its networks, so that their directions are known; leave out"
            f" --direction {direction}."
        )
    networks = _find_networks(contents, code.NETWORKS)
    if networks is None or not _translates(networks, code.TRANSLATORS):
        found = listed(contents) if isinstance(contents, dict) and contents else "nothing named"
        ways = ", or ".join(f"{' and '.join(parts)}" for parts in code.TRANSLATORS.values())
        raise InputError(
            f"{path} is no checkpoint of {system_name}: it has {found}, and the state dicts of "
            f"{listed(code.NETWORKS)} are wanted, or those of one translator ({ways})."
        )
    if ignored := [key for key in contents if str(key).partition(".")[0] not in networks]:
        _log.info("%s: not taken over: %s.", path, listed(ignored))
    fresh = tuple(name for name in code.NETWORKS if name not in networks)
    if fresh:
        _log.info(
            "%s: holds %s; %s %s not in it and fresh.",
            *(path, listed(networks), listed(fresh), "are" if len(fresh) > 1 else "is"),
        )
    return Checkpoint(path, system_name, networks, fresh)


def read_networks(
    path: str | Path,
    networks: Sequence[str],
    translators: Mapping[str, Sequence[str]],
    form: str = FILES,
) -> Any:
    """The contents of a checkpoint of one file, or of a folder with one file a network, by network.

    Such folders are those of the codes of CycleGAN, pix2pix and CUT: FOLDER/TAG_net_NETWORK.pth
    holds a state dict, and the tag is a number of epochs or "latest". Of a folder with one
    generator alone, `TAG_net_G.pth`, they are that file's.

    Args:
        path: File; a folder with one complete tag or "latest" in it; FOLDER/TAG; or one of a
            tag's files.
        networks: Names of the networks whose files a folder may have.
        translators: Names of those of which it must have all of a direction.
        form: Form of the files' names.

    Raises:
        InputError: as of `read_torch`; a file is missing, or the tag has to be chosen.
    """
    path = Path(path)
    refuse_special(path, "file or a folder")
    known = (*networks, LONE)
    if path.is_dir():
        folder, tag = path, _only_tag(path, networks, translators, form)
    elif file := _tagged(path.name, networks, form):
        folder, tag = path.parent, file[1]
    elif not path.suffix and not path.exists() and _tags(path.parent, known, form):
        folder, tag = path.parent, path.name
    else:
        return read_torch(path)
    files = {name: folder / form.format(tag, name) for name in dict.fromkeys(known)}
    there = {name: file for name, file in files.items() if file.is_file()}
    if _translates(there, translators):
        return {name: read_torch(there[name]) for name in networks if name in there}
    if list(there) == [LONE]:
        return read_torch(there[LONE])
    missing = [files[name].name for name in networks if name not in there]
    complete = _complete(_tags(folder, networks, form), networks)
    hint = f"complete there are {listed(complete)}" if complete else "copy the others there"
    raise InputError(f"{folder} lacks {listed(missing)}; {hint}.")


def read_parts(path: str | Path, parts: Sequence[str]) -> Any:
    """The contents, by network, of files PART_NUMBER.pt that hold PART_a, PART_b as `a`, `b`.

    So are MUNIT's and UNIT's: gen_00100000.pt and dis_00100000.pt.

    Args:
        path: Folder, of which the last number is read; one of a number's files; or a file of any
            other name, whose `a` and `b` are taken as the first part.
        parts: Parts, of which the first must be there.

    Raises:
        InputError: as of `read_torch`; a folder without such files.
    """
    path = Path(path)
    refuse_special(path, "file or a folder")
    form = rf"({'|'.join(parts)})_(\d+)\.pt"
    if path.is_dir():
        names = [name for name in _names_in(path) if name.startswith(f"{parts[0]}_")]
        files = sorted((name for name in names if re.fullmatch(form, name)), key=_by_number)
        if not files:
            raise InputError(
                f"{path} is a folder without files such as {parts[0]}_00100000.pt; give one with "
                "them, or one checkpoint file."
            )
        path = path / files[-1]
    numbered = re.fullmatch(form, path.name)
    if not numbered:
        return _lettered(read_torch(path), parts[0])
    contents: dict[str, Any] = {}
    for part in parts:
        file = path.with_name(f"{part}_{numbered[2]}.pt")
        if file.is_file():
            read = _lettered(read_torch(file), part)
            contents |= read if isinstance(read, dict) else {}
    return contents or read_torch(path)


def _lettered(contents: Any, part: str) -> Any:
    """The contents with `a` and `b` as the networks of a part."""
    if not isinstance(contents, dict) or not {"a", "b"} & set(contents):
        return contents
    return {f"{part}_{key}": value for key, value in contents.items()}


def _names_in(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()] if folder.is_dir() else []
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror or error}.") from error


def _only_tag(
    folder: Path, networks: Sequence[str], translators: Mapping[str, Sequence[str]], form: str
) -> str:
    """The tag to read of a folder where none was chosen."""
    tags = _tags(folder, (*networks, LONE), form)
    translating = [
        tag for tag, found in tags.items() if found == {LONE} or _translates(found, translators)
    ]
    usable = _complete(tags, networks) or translating
    if len(usable) > 1 and "latest" not in usable:
        raise InputError(
            f"{folder} has the checkpoints {listed(usable)}; choose one of them as "
            f"{folder / usable[-1]}."
        )
    if not tags:
        wanted = listed([form.format("latest", network) for network in networks])
        raise InputError(
            f"{folder} is a folder without files such as {wanted}; give one with all of these, or "
            "one checkpoint file."
        )
    found = usable or list(tags)  # of one that is of no use the caller says what it lacks
    return "latest" if "latest" in found else found[-1]


def _tags(folder: Path, networks: Sequence[str], form: str) -> dict[str, set[str]]:
    """The networks in a folder by tag, low numbers first."""
    tags: dict[str, set[str]] = {}
    for name in _names_in(folder):
        if file := _tagged(name, networks, form):
            tags.setdefault(file[1], set()).add(file[2])
    return {tag: tags[tag] for tag in sorted(tags, key=_by_number)}


def _by_number(name: str) -> tuple[int, str]:
    """A key that sorts texts that differ in a number alone: 9 before 10."""
    return len(name), name


def _tagged(name: str, networks: Sequence[str], form: str) -> re.Match[str] | None:
    before, between, after = map(re.escape, form.split("{}"))
    pattern = f"{before}(.+){between}({'|'.join(networks)}){after}"
    return re.fullmatch(pattern, name, re.DOTALL)


def _complete(tags: Mapping[str, set[str]], networks: Sequence[str]) -> list[str]:
    return [tag for tag, found in tags.items() if found >= set(networks)]


def _translates(networks: Any, translators: Mapping[str, Sequence[str]]) -> bool:
    """Whether all networks of a direction's translator are there."""
    return any(set(parts) <= set(networks) for parts in translators.values())


def _alone(contents: Any, wanted: Sequence[str]) -> Any:
    """The contents, if they are the state dict of one network, which no name tells."""
    if not isinstance(contents, dict) or not contents:
        return None
    named = {str(name).partition(".")[0] for name in contents} & set(wanted)
    tensors = by_name(contents)
    arrays = all(isinstance(value, np.ndarray) for value in tensors.values())
    return contents if tensors and arrays and not named else None


def _named(
    tensors: Any,
    translators: Mapping[str, Sequence[str]],
    direction: str | None,
    system_name: str,
    path: str | Path,
) -> dict[str, Any]:
    """The only network of a file under the name that it has in a direction, which the log says."""
    way = direction or next(iter(translators))
    parts = translators[way]
    if len(parts) > 1:
        raise InputError(
            f"{path}: is one network alone, and the translator {way} of {system_name} is made of"
            f" {' and '.join(parts)}; give a checkpoint with both."
        )
    if direction is None and len(translators) > 1:
        others = " or ".join(one for one in translators if one != way)
        _log.info(
            "%s: one generator without a direction in its name; it is taken as %s (for %s,"
            " import it with --direction).",
            *(path, way, others),
        )
    return {parts[0]: tensors}


def _find_networks(contents: Any, wanted: Sequence[str]) -> Networks | None:
    """The wanted networks' tensors, from a dict for each or from names like "gen2B.FC.0.weight"."""
    if not isinstance(contents, dict):
        return None
    if not any(name in contents for name in wanted):
        nested: dict[str, dict[str, Any]] = {}
        for name, value in contents.items():
            network, _, tensor = str(name).partition(".")
            nested.setdefault(network, {})[tensor] = value
        contents = nested
    there = [name for name in wanted if name in contents]
    if not all(isinstance(contents[name], dict) for name in there):
        return None
    networks = {name: by_name(contents[name]) for name in there}
    values = [value for tensors in networks.values() for value in tensors.values()]
    return networks if all(isinstance(value, np.ndarray) for value in values) else None
