"""A disk that fails at its n-th change below a folder: a kill, half a write, no more room."""

import builtins
import errno
import io
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

WAYS = ("kill", "torn", "full", "short")
"""The process ends before the change; or when half of the bytes are there; the disk is full from
there on; or a write takes half of the bytes and says so, as the system may."""


class Killed(BaseException):
    """Stands for the end of the process: nothing that comes later reaches the disk."""


class Disk:
    """Patches what changes files: opening to write, writing, cutting, renaming, removing.

    Files are opened by this class at one place, `open`, so that each write of the system is seen;
    what native code writes is not.

    Args:
        folder: Folder below which changes are counted.
        way: One of `WAYS`; None: nothing fails.
        at: Number of the change that fails, from 0 on.
    """

    def __init__(self, folder: Path, way: str | None = None, at: int = -1):
        self.folder, self.way, self.at = str(folder.resolve()), way, at
        self.changes: list[str] = []
        self.is_dead = self.is_full = False
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> "Disk":
        self._open = io.open
        for module in (io, builtins):
            self._patch.setattr(module, "open", self.open)
        self._patch.setattr(shutil, "_USE_CP_SENDFILE", False)  # it writes past `open`
        for name in ("replace", "rename", "unlink", "remove", "rmdir", "mkdir", "truncate"):
            self._patch.setattr(os, name, self._watched(name, getattr(os, name)))
        removing = shutil.rmtree

        def rmtree(path: Any, *arguments: Any, **options: Any) -> None:
            if not self.is_dead:
                removing(path, *arguments, **options)

        self._patch.setattr(shutil, "rmtree", rmtree)
        return self

    def __exit__(self, *error: object) -> None:
        self._patch.undo()

    def concerns(self, path: Any) -> bool:
        """Whether a change of a path is counted."""
        if not isinstance(path, str | os.PathLike):
            return False
        return str(Path(path).absolute()).startswith(self.folder)

    def is_next(self, change: str) -> bool:
        """Counts a change; whether it is the one that fails."""
        if self.is_dead:
            raise Killed(change)
        self.changes.append(change)
        return self.way is not None and len(self.changes) - 1 == self.at

    def change(self, what: str, path: Any, needs_room: bool) -> None:
        """Counts a change that is whole or not at all."""
        if self.is_next(f"{what} {Path(path).name}"):
            if self.way in ("kill", "torn"):
                self.is_dead = True
                raise Killed(self.changes[-1])
            self.is_full = self.way == "full"
        if self.is_full and needs_room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def _watched(self, name: str, call: Any) -> Any:
        def watching(path: Any, *arguments: Any, **options: Any) -> Any:
            # A name of a folder's descriptor is inside of what is removed.
            if self.concerns(path) and options.get("dir_fd") is None:
                self.change(name, path, name == "mkdir")
            return call(path, *arguments, **options)

        return watching

    def open(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        **others: Any,
    ) -> Any:
        """The function `open`, of whose files every write of the system is counted."""
        if not set(mode) & set("wax+") or not self.concerns(file):
            return self._open(file, mode, buffering, encoding, errors, newline, **others)
        self.change("open", file, not Path(file).exists())
        raw = File(self, file, mode.replace("b", "").replace("t", ""))
        if buffering == 0:
            return raw
        buffer = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return buffer
        return io.TextIOWrapper(buffer, encoding or "utf-8", errors, newline)


class File(io.FileIO):
    """A file on such a disk."""

    def __init__(self, disk: Disk, file: Any, mode: str):
        super().__init__(file, mode)
        self.disk = disk

    def write(self, data: Any) -> int:
        disk, content = self.disk, memoryview(data).cast("B")
        if disk.is_dead:
            return len(content)  # the file is closed on the way out
        half = content[: len(content) // 2]
        if disk.is_next(f"write {Path(str(self.name)).name}"):
            if disk.way == "kill":
                disk.is_dead = True
                raise Killed(disk.changes[-1])
            if disk.way == "torn":
                super().write(half)
                disk.is_dead = True
                raise Killed(disk.changes[-1])
            if disk.way == "short" and half:
                return super().write(half)
            disk.is_full = disk.way == "full"
            if disk.is_full and half:
                return super().write(half)
        if disk.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(content)

    def truncate(self, size: int | None = None) -> int:
        self.disk.change("truncate", self.name, needs_room=False)
        return super().truncate(size)
