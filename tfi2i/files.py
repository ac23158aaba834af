"""Files that are whole or absent: written under a temporary name in their folder, then renamed."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TEMPORARY = ".*.tmp.*"
"""The glob of the temporary names, to clear what a killed process left."""


@contextlib.contextmanager
def replacing(path: Path, stem: str | None = None) -> Iterator[Path]:
    """A temporary path of the same suffix to write to, renamed to `path` at the end.

    An error inside removes it and leaves `path` as it was; so does a kill, but for the temporary.

    Args:
        path: File to replace.
        stem: Name for the temporary file; None: that of `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{stem or path.stem}.tmp{path.suffix}")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


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
