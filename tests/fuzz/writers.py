"""What writes files, on disks that fail: every named file is whole, old or new, and it goes on."""

import errno
import functools
import json
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import keras
import numpy as np
import small_files
from tfi2i_export import exporting, sidecar
from tfi2i_export.choice import Choice

from fuzz import mutations
from fuzz.disks import WAYS, Disk, Killed
from fuzz.outcomes import Target
from tfi2i import files
from tfi2i.conditions import BOTH_WAYS
from tfi2i.errors import InputError
from tfi2i.evaluate.study import make_study
from tfi2i.pictures.depth import PLAIN
from tfi2i.pictures.files import write_picture
from tfi2i.pictures.folders import translate_files
from tfi2i.runs import completion
from tfi2i.runs.keras_files import load_keras
from tfi2i.runs.run import Run
from tfi2i.terminal import make_console

PIXELS = np.random.default_rng(2).integers(0, 256, (4, 16, 16, 3), np.uint8)


class Work(NamedTuple):
    """Writes, on which a disk fails.

    Attributes:
        begin: Function of a folder, that makes what is there before.
        work: Function that writes; done once more, it does what is missing.
        facts: Function of the folder: what each named file in it holds, whatever the time.
        whole: Function that asserts what holds at any moment.
    """

    begin: Callable[[Path], None]
    work: Callable[[Path], Any]
    facts: Callable[[Path], dict[str, Any]]
    whole: Callable[[Path], None] = lambda folder: None


def named(folder: Path) -> list[Path]:
    """The files that are no temporary ones, nor in a temporary folder."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [p for p in paths if not any(q.startswith(".") for q in p.relative_to(folder).parts)]


def held(folder: Path) -> dict[str, Any]:
    """The content of each file by name; of archives without the time."""
    return {path.relative_to(folder).as_posix(): content(path) for path in named(folder)}


def content(path: Path) -> Any:
    if path.suffix == ".keras":
        parts = mutations.contents(path.read_bytes())
        parts["metadata.json"] = json.loads(parts["metadata.json"])["keras_version"].encode()
        return parts
    return path.read_bytes()


# single files


def old_text(folder: Path) -> None:
    (folder / "a.json").write_text('{"old": 1}')


def new_text(folder: Path) -> None:
    files.write_text(folder / "a.json", json.dumps({"new": ["ü" * 9_000]}, ensure_ascii=False))


def old_pictures(folder: Path) -> None:
    for suffix in ("png", "jpg", "tif"):
        write_picture(folder / f"a.{suffix}", PIXELS[0])


def new_pictures(folder: Path) -> None:
    for suffix in ("png", "jpg", "tif"):
        write_picture(folder / f"a.{suffix}", PIXELS[1])


def no_results(folder: Path) -> None:
    (folder / "in" / "sub").mkdir(parents=True)
    for i, pixels in enumerate(PIXELS):
        write_picture(folder / "in" / "sub" / f"{i}.png", pixels)


def results(folder: Path) -> None:
    quiet = make_console(quiet=True)
    summary = translate_files(
        lambda pixels: 255 - pixels, [folder / "in"], folder / "out", overwrite=True, console=quiet
    )
    if summary.failed:
        raise InputError(summary.failed[0][1])


# metrics of a run

REPORTS = [{"step": step, "g_l1": 0.5 / step} for step in (1, 2, 3)]


def run_of(folder: Path) -> Run:
    return Run(folder / "00001-nicegan-scenes")


def a_run(folder: Path) -> None:
    run = Run.create(folder, "NICEGAN", "scenes", {"system": "NICEGAN"}, {})
    for report in REPORTS[:2]:
        run.append_metrics(report)


def reports(folder: Path) -> None:
    """What a resume at step 1 does."""
    run = run_of(folder)
    with run.lock():
        run.truncate_metrics(1)
        for report in REPORTS[1:]:
            run.append_metrics(report)
        run.replace_config({"system": "NICEGAN", "compile": {"learning_rate": 0.5}})


def reported(folder: Path) -> dict[str, Any]:
    run = run_of(folder)
    return {"config": run.config}


def of_reports(folder: Path) -> None:
    steps = [one["step"] for one in run_of(folder).read_metrics()]
    assert steps in ([1], [1, 2], [1, 2, 3])


# runs, with networks


class Painter(SimpleNamespace):
    """A system as far as a run asks, of one colour."""

    def save(self, path: Path) -> None:
        network(self.level).save(path)


@functools.cache
def network(level: int) -> Any:
    image = keras.Input((None, None, 3), name="image")
    bias = keras.initializers.Constant(level)
    return keras.Model(image, keras.layers.Conv2D(3, 1, name="paint", bias_initializer=bias)(image))


def painter(level: int) -> Painter:
    return Painter(
        level=level, directions=BOTH_WAYS, conditions=(), network=lambda way: network(level)
    )


def create(folder: Path) -> None:
    environment = {"versions": {"tfi2i": "0.1.0"}}
    Run.create(folder, "NICEGAN", "scenes", {"system": "NICEGAN"}, environment, system=painter(1))


def of_created(folder: Path) -> None:
    for path in folder.glob("[0-9]*"):
        run = Run(path)
        assert run.config == {"system": "NICEGAN"} and run.environment
        completion.verify(run.checkpoint_path())
        assert level(run.checkpoint_path()) == 1


def created(folder: Path) -> dict[str, Any]:
    runs = sorted(folder.glob("[0-9]*"))  # a number may be skipped
    paths = [path for run in runs[-1:] for path in named(run) if path.suffix != ".json"]
    return {path.name: content(path) for path in paths}


def checkpoint(folder: Path, number: int = 2) -> None:
    run = run_of(folder)
    with run.lock():
        run.save_checkpoint(painter(number))
        run.save_translators(painter(number))
        run.copy_last_to_best()
        run.complete(number)


def a_trained_run(folder: Path) -> None:
    create(folder)
    checkpoint(folder, 1)


def level(path: Path) -> int:
    return int(load_keras(path, compile=False).get_layer("paint").bias.numpy()[0])


def of_checkpoints(folder: Path) -> None:
    run = run_of(folder)
    paths = [p for p in named(folder) if p.suffix == ".keras"]
    levels = {path.name: level(path) for path in paths}  # verified
    assert len(levels) == 4 and run.completion
    if run.completion.step is not None:
        assert set(levels.values()) == {run.completion.step}, levels


def networks(folder: Path) -> dict[str, Any]:
    return {name: one for name, one in held(folder).items() if name.endswith(".keras")}


# exports and studies


@functools.cache
def described(number: int) -> sidecar.Sidecar:
    with tempfile.TemporaryDirectory() as folder:
        path = small_files.written(Path(folder), "a2b", small_files.point_file(), step=number)
        return sidecar.read(path.with_suffix(".json"))


def export(folder: Path, number: int = 2) -> None:
    artefact = exporting._Artefact(small_files.point_file(), {})
    companions = {"style": bytes([number]) * 9_000}
    target, about = folder / "a2b.tflite", described(number)
    exporting._written(artefact, about, target, Choice(), "squash", companions, PLAIN)


def an_export(folder: Path) -> None:
    export(folder, 1)


def of_exports(folder: Path) -> None:
    """The pair fits, or is refused; where it fits it is old or new."""
    try:
        assert sidecar.verify(folder / "a2b.json").step in (1, 2)
    except InputError as error:
        assert "export the model again" in str(error)


def study(folder: Path) -> None:
    out = folder / "study"
    if not out.exists():
        methods = [("one", PIXELS), ("two", 255 - PIXELS)]
        names = [f"p{i}" for i in range(len(PIXELS))]
        make_study(methods, PIXELS, names, out, question="Which?", title="A study")


def of_studies(folder: Path) -> None:
    if (folder / "study").exists():
        assert len(named(folder / "study")) == 1 + 3 * len(PIXELS)


def nothing(folder: Path) -> None:
    """Nothing is there before."""


WORKS = {
    "a text": Work(old_text, new_text, held),
    "pictures": Work(old_pictures, new_pictures, held),
    "a folder of results": Work(no_results, results, held),
    "reports": Work(a_run, reports, reported, of_reports),
    "a new run": Work(nothing, create, created, of_created),
    "checkpoints": Work(a_trained_run, checkpoint, networks, of_checkpoints),
    "an export": Work(an_export, export, held, of_exports),
    "a study": Work(nothing, study, held, of_studies),
}


class Case(NamedTuple):
    """A disk that fails while something is written to a folder."""

    work: Work
    folder: Path
    way: str
    at: int
    old: dict[str, Any]
    new: dict[str, Any]


@functools.cache
def undisturbed(name: str) -> tuple[int, dict[str, Any]]:
    """Number of changes, and what is there at the end."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        WORKS[name].begin(folder)
        with Disk(folder) as disk:
            WORKS[name].work(folder)
        return len(disk.changes), WORKS[name].facts(folder)


def failing(name: str, rng: random.Random, folder: Path) -> Case:
    work, folder = WORKS[name], folder.resolve()
    count, new = undisturbed(name)
    work.begin(folder)
    return Case(work, folder, rng.choice(WAYS), rng.randrange(count), work.facts(folder), new)


def written(case: Case) -> None:
    """Lets the disk fail; asserts that files are whole, and does it again."""
    told: OSError | InputError | None = None
    with Disk(case.folder, case.way, case.at) as disk:
        try:
            case.work.work(case.folder)
            assert case.way in ("short", "full"), f"goes on after the end at {disk.changes[-1]}"
        except Killed:
            assert disk.is_dead
        except (OSError, InputError) as error:
            assert disk.is_full, f"{error!r} at {disk.changes[-1]}"
            told = error
    failed = disk.changes[case.at]
    after = case.work.facts(case.folder)
    for name in case.old.keys() | after.keys():
        now, former = after.get(name), case.old.get(name)
        assert now in (former, case.new.get(name)), f"{name} is neither old nor new at {failed}"
    case.work.whole(case.folder)
    if told is None and case.way == "short":
        assert after == case.new, f"half a write at {failed}"
    case.work.work(case.folder)
    assert case.work.facts(case.folder) == case.new, f"not made after {failed}"
    case.work.whole(case.folder)
    if isinstance(told, InputError):
        raise told
    if told is not None:
        assert told.errno == errno.ENOSPC and told.filename, f"{told!r} names no file at {failed}"
        raise InputError(f"{told.filename}: {os.strerror(errno.ENOSPC)}.")


def target(name: str) -> Target:
    quick = 4 if name == "checkpoints" else 10  # they take a quarter of a second each
    return Target(f"disk: {name}", functools.partial(failing, name), written, quick=quick)


TARGETS = [target(name) for name in WORKS]
