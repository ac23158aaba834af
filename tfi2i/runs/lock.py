"""The lock of a run, which one process holds for writing."""

import contextlib
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfi2i.errors import InputError
from tfi2i.files import TEMPORARY, full_disk


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Holds a run for writing and clears what a killed process left in it.

    The operating system frees the lock however the process ends.

    Raises:
        InputError: Another process holds it.
    """
    # Without a buffer, whose rest would be written once more at the end.
    with (path / "lock").open("a+b", buffering=0) as file:
        if not _try_lock(file):
            file.seek(0)
            holder = (file.read(100) or b"").decode(errors="replace").strip() or "another process"
            raise InputError(
                f"{path}: is being written by {holder}; stop that first, or wait until it ends."
            )
        try:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node() or 'this machine'}".encode())
        except OSError as error:
            raise full_disk(error, path / "lock") or error from error
        # Not evaluation/ and exports/: they may be written while the run trains.
        for folder in ("", "samples", "checkpoints", "translators"):
            for leftover in (path / folder).glob(TEMPORARY):
                leftover.unlink(missing_ok=True)
        yield


def _try_lock(file: Any) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(1_000_000)  # a locked byte cannot be read there: lock one behind the text
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
