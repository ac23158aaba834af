"""A training on a disk that fails at any change: resumed, it ends as if it had not."""

import contextlib
import functools
import io
import random
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import lamp
import pytest

from fuzz.disks import WAYS, Disk, Killed
from fuzz.outcomes import Target
from tfi2i.cli import main
from tfi2i.errors import InputError


class Training(NamedTuple):
    """A folder, and the change at which its disk fails."""

    folder: Path
    way: str
    at: int
    whole: dict[str, Any]


@functools.cache
def undisturbed() -> tuple[int, dict[str, Any]]:
    """Number of changes, and what the run holds at the end."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        code, _, disk = trained(folder, Disk(folder / "runs"))
        assert code == 0
        return len(disk.changes), held(lamp.run_in(folder))


@contextlib.contextmanager
def known() -> Any:
    """The lamp, and silence: what a command says is returned."""
    with pytest.MonkeyPatch.context() as patch, io.StringIO() as said:
        lamp.make_known(patch)
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            yield said


def trained(folder: Path, disk: Disk) -> tuple[int | None, str, Disk]:
    """Exit code, None for a kill, and the last line of a new training."""
    with known() as said, disk:
        try:
            code = lamp.begin(folder)
        except Killed:
            return None, "", disk
        return code, said.getvalue().strip().rpartition("\n")[2], disk


def held(path: Path) -> dict[str, Any]:
    with known():
        return lamp.contents(path)


def training(rng: random.Random, folder: Path) -> Training:
    count, whole = undisturbed()
    return Training(folder.resolve(), rng.choice(WAYS), rng.randrange(count), whole)


def resumed(made: Training) -> None:
    runs = made.folder / "runs"
    code, line, disk = trained(made.folder, Disk(runs, made.way, made.at))
    failed = disk.changes[made.at]
    if code is None:
        assert disk.is_dead
    elif code:
        assert disk.is_full and "No space left on device" in line and str(runs) in line, line
    else:
        assert made.way in ("short", "full"), f"goes on after {failed}"
    paths = sorted(runs.glob("[0-9]*"))
    with known() as said:
        if paths:
            done = main(["train", "--resume", str(paths[-1])])
            finished = "has made all its 2 steps" in said.getvalue()
            assert done == (2 if finished else 0), f"{said.getvalue()} after {failed}"
        else:
            assert lamp.begin(made.folder) == 0
    path = sorted(runs.glob("[0-9]*"))[-1]
    try:
        lamp.assert_same(held(path), made.whole)
    except AssertionError as error:
        raise AssertionError(f"another run after {made.way} at {failed}: {error}") from error
    if code:
        raise InputError(line)


TARGETS = [Target("disk: a training", training, resumed, quick=0, seconds=60)]
