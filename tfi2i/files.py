"""Files that are whole or absent: written under a temporary name in their folder, then renamed."""

import contextlib
import errno
import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from tfi2i.errors import InputError

TEMPORARY = ".*.tmp.*"
"""The glob of the temporary names, to clear what a killed process left."""

_FULL = {errno.ENOSPC: "no space left on device", errno.EDQUOT: "disk quota exceeded"}


@contextlib.contextmanager
def replacing(path: Path, stem: str | None = None) -> Iterator[Path]:
    """A temporary path of the same suffix to write to, renamed to `path` at the end.

    An error inside removes it and leaves `path` as it was; so does a kill, but for the temporary.

    Args:
        path: File to replace.
        stem: Name for the temporary file; None: that of `path`.

    Raises:
        OSError: The disk is full, whatever wrote to it; it names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{stem or path.stem}.tmp{path.suffix}")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if (full := full_disk(error, path)) is not None:
            raise full from error
        raise
    sync(path.parent)


def full_disk(error: BaseException, path: Path) -> OSError | None:
    """The error of a full disk that names a file, for what a library says of it; None: another."""
    told = str(error).lower() if isinstance(error, Exception) else ""
    for number, words in _FULL.items():
        if getattr(error, "errno", None) == number or words in told:
            return OSError(number, os.strerror(number), str(path))
    return None


def append(path: Path, line: bytes) -> None:
    """Adds a line to a file, on the disk before this returns; a torn last line goes."""
    try:
        with path.open("a+b") as file:
            file.seek(0)
            # A line torn by a power failure would be glued to the new one.
            file.truncate(file.read().rfind(b"\n") + 1)
            file.write(line + b"\n")
        sync(path)
    except OSError as error:
        if (full := full_disk(error, path)) is not None:
            raise full from error
        raise


def sha256(path: Path) -> str:
    """The digest of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_regular(path: Path) -> BinaryIO:
    """An open file of anyone's, to read.

    Raises:
        OSError: It cannot be opened, or is a pipe or a device, which may never end.
    """
    if "\0" in str(path):
        raise OSError("a zero byte is in its name")
    if is_special(path):
        raise OSError("a pipe or a device, and no file")
    return path.open("rb")


def start_of(path: Path, most_bytes: int) -> bytes:
    """The first bytes of a file of anyone's.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with open_regular(path) as file:
            return file.read(most_bytes)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}.") from error


def is_special(path: Path) -> bool:
    """Whether a path is that of a pipe or a device: neither a file nor a folder.

    Raises:
        OSError: It cannot be looked at.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def refuse_special(path: Path, wanted: str = "file") -> None:
    """Makes sure that a path of anyone's has no `obstacle`.

    Args:
        path: Path of anyone's.
        wanted: Word for what it is to be.

    Raises:
        InputError: It has one.
    """
    if told := obstacle(path):
        raise InputError(f"{path} {told}; give a {wanted}.")


def obstacle(path: Path) -> str:
    """Words on why a path is neither a file nor a folder nor absent: "is a pipe or a device".

    Empty if there is none. A link to what is not there has one.
    """
    try:
        if is_special(path):
            return "is a pipe or a device"
        if path.is_symlink():
            path.stat()
    except FileNotFoundError:
        return f"is a link to {path.readlink()}, which is not there"
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "is a link to itself"
        return f"cannot be read ({error.strerror or error})"
    except ValueError:
        return "has a zero byte in its name"
    return ""


def sync(path: Path) -> None:
    """Waits until a file's content, or a folder's names, are on the disk itself."""
    folder = path.is_dir()
    if folder and sys.platform == "win32":
        return  # folders cannot be opened there
    handle = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError:
        if not folder:  # some network file systems cannot sync a folder; a file's failure is real
            raise
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Replaces a file by `text`, UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_object(path: Path, most_bytes: int = 1_000_000) -> dict[str, Any]:
    """The JSON object of a file of anyone's; nan and inf are None.

    Raises:
        InputError: It cannot be read, is too large, or holds something else.
    """
    raw = start_of(path, most_bytes + 1)
    if len(raw) > most_bytes:
        raise InputError(f"{path}: is larger than {most_bytes:,} bytes, which it never is.")
    values = parsed(raw, str(path))
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds {_KINDS.get(type(values), 'a number')} and no object.")
    return values


_KINDS = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}


def parsed(raw: bytes, where: str, finite: bool = True) -> Any:
    """The values of JSON of anyone's; nan and inf are None.

    Args:
        raw: Content of a file, or a line of it.
        where: Place of it, for messages.
        finite: False: nan and inf stay numbers.

    Raises:
        InputError: It is no JSON in UTF-8, is nested too deep, or holds text that is no Unicode.
    """
    try:
        values = json.loads(raw, parse_constant=(lambda name: None) if finite else float)
        json.dumps(values, ensure_ascii=False).encode()  # half a surrogate pair cannot be written
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where}: is not JSON (half a surrogate pair, {error.object[error.start]!a})."
        ) from error
    except RecursionError as error:
        raise InputError(f"{where}: is not JSON of ours (nested too deep).") from error
    except ValueError as error:
        raise InputError(f"{where}: is not JSON ({error}).") from error
    return values


def to_json(values: Any, indent: int | None = None) -> str:
    """JSON of plain, NumPy and tensor values; nan and inf, which JSON lacks, become null."""
    finite = json.loads(json.dumps(values, default=_plain), parse_constant=lambda name: None)
    return json.dumps(finite, indent=indent, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """A value that `json` knows, for one that it does not."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return str(value)
    return value.tolist() if hasattr(value, "tolist") else value.numpy().tolist()
