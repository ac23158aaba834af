"""complete.json of a run: the step whose files are all there, and the digests of its networks.

    {"step": 200, "files": {"checkpoints/last.keras": ["9f86d0..."], ...}}

The digest of a file stands there before the file does, beside that of the file which it replaces:
whenever a process is killed, the file that is there is one of them. `step` is null meanwhile.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tfi2i.errors import InputError
from tfi2i.files import read_object, replacing, sha256, to_json, write_text

NAME = "complete.json"
FOLDERS = ("checkpoints", "translators")


@dataclass(frozen=True)
class Completion:
    """Content of complete.json.

    Attributes:
        step: Step of the last checkpoint, if all that belongs to it is there; None: it may not be.
        files: Digests, SHA-256 in hexadecimal, that a file of the run may have, by its path in it.
    """

    step: int | None = None
    files: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def is_interrupted(self) -> bool:
        """Whether a process replaces files at the moment, or was killed while it did."""
        return self.step is None and any(len(digests) > 1 for digests in self.files.values())


def read(folder: Path) -> Completion | None:
    """The record of a run; None: it is of before there were any.

    Raises:
        InputError: The file is damaged.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    way_out = "remove it to go on: the networks are not verified then"
    try:
        values = read_object(path)
    except InputError as error:
        raise InputError(f"{str(error).removesuffix('.')}; {way_out}.") from error
    step, files = values.get("step"), _digests(values.get("files"))
    if (step is not None and type(step) is not int) or files is None:
        raise InputError(f"{path}: is no record of a step and digests; {way_out}.")
    return Completion(step, files)


def _digests(files: object) -> dict[str, tuple[str, ...]] | None:
    """Digests by path, for what a file says of them; None: it says something else."""
    if not isinstance(files, dict):
        return None
    lists = [one for one in files.values() if isinstance(one, list) and one]
    if len(lists) < len(files) or not all(isinstance(text, str) for one in lists for text in one):
        return None
    return {name: tuple(digests) for name, digests in files.items()}


def _write(folder: Path, record: Completion) -> None:
    values = {"step": record.step, "files": {name: [*one] for name, one in record.files.items()}}
    write_text(folder / NAME, to_json(values, indent=2) + "\n")


@contextlib.contextmanager
def recorded(path: Path) -> Iterator[Path]:
    """`files.replacing` for a file two levels below a run, whose digest is recorded before."""
    with replacing(path) as temporary:
        yield temporary
        folder, name = _place(path)
        record = read(folder) or Completion()
        known = record.files.get(name, ())
        if not known and path.is_file():  # of before there was a record
            known = (sha256(path),)
        digests = dict.fromkeys((sha256(temporary), *known))
        _write(folder, Completion(None, {**record.files, name: tuple(digests)}))


def complete(folder: Path, step: int) -> None:
    """Records that all that belongs to the checkpoint of a step is there."""
    record, files = read(folder) or Completion(), {}
    for name in sorted({*record.files, "checkpoints/last.keras", "checkpoints/best.keras"}):
        path = folder / name
        if not path.is_file():
            continue
        digests = record.files.get(name, ())
        if len(digests) != 1:  # it may be any of them, or is of before there was a record
            now = sha256(path)
            digests = (now,) if now in digests or not digests else digests
        files[name] = digests
    _write(folder, Completion(step, files))


def verify(path: Path) -> None:
    """Refuses a network of a run that is not as the run wrote it; all others pass.

    Raises:
        InputError: The file has another digest than those recorded.
    """
    folder, name = _place(path)
    for _ in range(2):  # a training may replace both in between
        if name.partition("/")[0] not in FOLDERS or read(folder) is None:
            return
        digest = sha256(path)
        record = read(folder) or Completion()
        # A checkpoint may be a copy of the other one, to go back to that.
        checkpoints = [one for one in record.files if one.startswith("checkpoints/")]
        group = checkpoints if name in checkpoints else [name]
        known = {digest for one in group for digest in record.files.get(one, ())}
        if name not in record.files or digest in known:
            return
    raise InputError(
        f"{path}: is damaged or was exchanged: its SHA-256 is {digest[:12]}... and that of the file"
        f" which the run wrote {record.files[name][0][:12]}...; {_way_out(path)}, or, if it is"
        f" meant to be another one, remove {folder / NAME}."
    )


def is_whole(path: Path) -> bool:
    """Whether a network of a run is there, and as the run wrote it if that is recorded."""
    if not path.is_file():
        return False
    try:
        verify(path)
    except InputError:
        return False
    return True


def _way_out(path: Path) -> str:
    folder = path.parent.parent
    if path.parent.name == "translators":
        return f"`tfi2i train --resume {folder}` makes it again of the last checkpoint"
    if path.name == "last.keras" and path.with_name("best.keras").is_file():
        return "put a copy of it back, or copy best.keras over it to go on from there"
    return "put a copy of it back" + (", or remove it" if path.name == "best.keras" else "")


def _place(path: Path) -> tuple[Path, str]:
    """The run of a file, and the file's path in it."""
    path = path.absolute()
    return path.parent.parent, f"{path.parent.name}/{path.name}"
