"""Run directories: this text is their specification, and `Run` alone knows the names.

    runs/00003-nicegan-horse2zebra/
      config.yaml                  the complete settings; there before the run appears
      environment.json             versions, commit, platform, devices, what the data was; likewise
      complete.json                the step whose files are all there, and digests of the networks
      log.txt                      what the terminal showed
      metrics.jsonl                one JSON object a report, with its `step`; null: not finite
      tensorboard/                 the same for TensorBoard, if asked for
      samples/000200.png           the same test images at every stage, by step
      checkpoints/last.keras       networks, optimizers and the step count in one file: to resume
      checkpoints/best.keras       the same, of the step with the lowest KID while training
      translators/a2b.keras        image -> image, a plain model without training parts: to use
      evaluation/report.html       what `tfi2i evaluate` found, to look at
      evaluation/evaluation.json   the same, to compute with
      exports/                     artefacts with their sidecars
      lock                         held by the process that trains; says which one

The number orders the runs of a folder, over all systems and data sets. Nothing is overwritten but
checkpoints, translators, and the configuration of a run that is resumed with other numbers. Files
are written under a temporary name in their folder (`.last.tmp.keras`) and renamed, so that a killed
process leaves every named file whole. The step count is the one inside the checkpoint; where
complete.json has another one, or none, what belongs to the checkpoint is made anew on a resume.
"""

import contextlib
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tfi2i import yaml_text
from tfi2i.conditions import BOTH_WAYS, Condition, Direction
from tfi2i.data.ranges import settled
from tfi2i.errors import InputError
from tfi2i.files import read_object, refuse_special, sync, to_json, write_text
from tfi2i.pictures.depth import PLAIN, Ranges
from tfi2i.runs import completion, metrics
from tfi2i.runs.architecture import require_same
from tfi2i.runs.keras_files import (
    load_keras,
    load_translator,
    read_conditions,
    read_config,
    save_network,
)
from tfi2i.runs.lock import held
from tfi2i.runs.log_file import logged
from tfi2i.terminal import brief, printable

DIRECTORIES = ("samples", "checkpoints", "translators", "evaluation", "exports")
Which = Literal["last", "best"]

log = logging.getLogger("tfi2i")

_NUMBER = re.compile(r"\.?(\d{5,})(?:-|$)")  # in a run's name, or in a claim of one


class Run:
    """A run directory that exists: `Run("runs/00003-nicegan-horse2zebra")`."""

    def __init__(self, path: str | Path):
        """Opens a run.

        Raises:
            InputError: if the folder is not a run, with what is missing.
        """
        self.path = Path(path)
        refuse_special(self.path, "run directory")
        self.name = self.path.resolve().name
        self.config_path = self.path / "config.yaml"
        self.environment_path = self.path / "environment.json"
        self.log_path = self.path / "log.txt"
        self.metrics_path = self.path / "metrics.jsonl"
        self.tensorboard_dir = self.path / "tensorboard"
        self.evaluation_dir = self.path / "evaluation"
        self.exports_dir = self.path / "exports"
        if not self.path.is_dir():
            raise InputError(
                f"{self.path}: there is no such run directory; `tfi2i train` makes them in runs/."
            )
        for needed in (self.config_path, self.environment_path):
            refuse_special(needed)
        missing = [p.name for p in (self.config_path, self.environment_path) if not p.is_file()]
        if missing:
            inside = sorted(self.path.glob(f"{'[0-9]' * 5}*-*/config.yaml"))
            hint = f"; did you mean {inside[-1].parent}?" if inside else ", which every run has."
            raise InputError(f"{self.path}: is not a run: {' and '.join(missing)} missing{hint}")

    @classmethod
    def create(
        cls,
        parent: str | Path,
        system_name: str,
        data_name: str,
        config: Mapping[str, Any],
        environment: Mapping[str, Any],
        *,
        folder: str | None = None,
        system: Any = None,
        translators: bool = False,
    ) -> "Run":
        """Makes the next run of `parent`; it appears whole, with its configuration, or not at all.

        Args:
            parent: Folder of runs; made if it is not there.
            system_name: Part of the run's name.
            data_name: Part of the run's name.
            config: Settings by section, all of them.
            environment: Circumstances that the run depends on outside its settings.
            folder: Name of the run, instead of NUMBER-SYSTEM-DATA.
            system: System that is its first checkpoint; None: it has none.
            translators: True where the system's translators belong to the run from the start.

        Raises:
            InputError: if `parent` cannot be written to, or `folder` exists in it.
        """
        parent = Path(parent)
        if folder is not None and os.path.lexists(parent / folder):
            raise InputError(f"{parent / folder}: exists already; give a new folder for the run.")
        try:
            parent.mkdir(parents=True, exist_ok=True)
            claimed = _claim_number(parent)
            with _removed_if_unfinished(claimed):
                for directory in DIRECTORIES:
                    (claimed / directory).mkdir()
                write_text(claimed / "config.yaml", yaml_text.dump(config))
                write_text(claimed / "environment.json", to_json(environment, indent=2) + "\n")
                if system is not None:  # or a kill would leave a run that begins otherwise
                    run = cls(claimed)
                    run.save_checkpoint(system)
                    if translators:
                        run.save_translators(system)
                        run.complete(system.step)
                path = parent / (folder or f"{claimed.name[1:]}-{_name(system_name, data_name)}")
                claimed.rename(path)
            sync(parent)
        except OSError as error:
            told = f"{error.filename}: {error.strerror}" if error.filename else error
            raise InputError(
                f"{parent}: a run cannot be created there ({told});"
                " give another folder with --runs."
            ) from error
        return cls(path)

    # names

    def sample_path(self, step: int) -> Path:
        """`samples/000200.png`."""
        return self.path / "samples" / f"{step:06d}.png"

    def checkpoint_path(self, which: Which = "last") -> Path:
        """`checkpoints/last.keras`, whether it exists or not."""
        return self.path / "checkpoints" / f"{which}.keras"

    def translator_path(self, direction: str = "a2b") -> Path:
        """`translators/a2b.keras`, whether it exists or not."""
        return self.path / "translators" / f"{direction}.keras"

    # settings

    @property
    def config(self) -> dict[str, Any]:
        """The settings of config.yaml by section, not checked against today's signatures."""
        document = yaml_text.read(self.config_path)
        values = document.values
        if not isinstance(values, dict):
            raise InputError(
                f"{self.config_path}: holds no settings; the run cannot be used without them."
            )
        for name in ("model", "compile", "data", "batches", "fit"):
            if not isinstance(values.get(name), dict | None):
                came = brief(str(values[name]))
                raise InputError(f"{document.where(name)}: section `{name}` is {came!r}.")
        return values

    @property
    def environment(self) -> dict[str, Any]:
        """environment.json.

        Raises:
            InputError: if it is no JSON object.
        """
        return read_object(self.environment_path)

    @property
    def changes(self) -> list[dict[str, Any]]:
        """The settings that were changed on a resume: step, setting, its value before and after.

        Raises:
            InputError: if they are not such a list.
        """
        changes = self.config.get("changes") or []
        keys = {"step", "setting", "before", "after"}
        if not isinstance(changes, list) or not all(
            isinstance(one, dict) and one.keys() == keys for one in changes
        ):
            raise InputError(
                f"{self.config_path}: `changes` is no list of step, setting, before and after;"
                " remove it to go on."
            )
        return changes

    def replace_config(
        self, config: Mapping[str, Any], changes: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Rewrites config.yaml in one go, for a run that is resumed with other settings.

        Args:
            config: Settings by section, all of them.
            changes: Records of all changes, as the property has them.
        """
        record = {"changes": [dict(one) for one in changes]} if changes else {}
        write_text(self.config_path, yaml_text.dump({**config, **record}))

    # metrics

    def append_metrics(self, values: Mapping[str, Any]) -> None:
        """Adds one line, on the disk before this returns."""
        metrics.add(self.metrics_path, values)

    def read_metrics(self) -> list[dict[str, Any]]:
        """All reports in order; a torn last line is left out, and without the file there are none.

        Raises:
            InputError: if another line is not a JSON object of numbers with a step.
        """
        return metrics.read(self.metrics_path)

    def truncate_metrics(self, step: int) -> None:
        """Drops the reports after `step`: a resumed run repeats what its checkpoint lacks."""
        metrics.truncate(self.metrics_path, step)

    # models

    def save_checkpoint(self, system: Any, which: Which = "last") -> None:
        """Networks, optimizers and step count in one file, replaced in one go."""
        with completion.recorded(self.checkpoint_path(which)) as temporary:
            system.save(temporary)

    def copy_last_to_best(self) -> None:
        """Makes the last checkpoint the best one too."""
        with completion.recorded(self.checkpoint_path("best")) as temporary:
            shutil.copyfile(self.checkpoint_path("last"), temporary)

    @property
    def completion(self) -> completion.Completion | None:
        """complete.json; None: the run is of before there was one. Raises `InputError`."""
        return completion.read(self.path)

    def complete(self, step: int) -> None:
        """Records that all that belongs to the checkpoint of a step is there."""
        completion.complete(self.path, step)

    def has_translators(self, system: Any) -> bool:
        """Whether the translators of all directions are there, and as the run wrote them."""
        ways = system.directions
        return all(completion.is_whole(self.translator_path(way.name)) for way in ways)

    def load_system(self, which: Which = "last") -> Any:
        """The whole system with its optimizers, as it was saved; its step count is `system.step`.

        Raises:
            InputError: if there is no such checkpoint, it is not one, or config.yaml names other
                numbers of its networks.
        """
        # Keras finds our classes only once their modules are imported.
        from tfi2i.models import ALL

        path = self.checkpoint_path(which)
        if not path.is_file():
            raise InputError(
                f"{self.path}: has no checkpoint {path.name}: the run stopped before its first"
                f" one; `tfi2i train --resume {self.path}` begins it again."
            )
        require_same(self.config_path, path, read_config(path))
        system = load_keras(path, compile=True)
        if not isinstance(system, tuple(ALL.values())):
            raise InputError(f"{path}: holds a {type(system).__name__} and not a system of tfi2i.")
        return system

    def save_translators(self, system: Any) -> None:
        """One file a direction, each replaced in one go."""
        for way in system.directions:
            conditions = system.conditions_of(way.name) if system.conditions else ()
            with completion.recorded(self.translator_path(way.name)) as temporary:
                network, ranges = system.network(way.name), self.ranges(way)
                save_network(network, temporary, conditions, way.target, ranges)

    def network(self, direction: str | None = None) -> Any:
        """A plain `keras.Model`, image and conditions -> image, float32 (N, H, W, 3) in [-1, 1].

        Args:
            direction: Name of a direction of the system; None: its first.

        Raises:
            InputError: if its system does not translate that way, or the run has none yet.
        """
        return load_translator(self._network_file(direction))

    def conditions(self, direction: str | None = None) -> tuple[Condition, ...]:
        """The inputs besides the picture of a direction's network; raises as `network`."""
        return read_conditions(self._network_file(direction))

    def _network_file(self, direction: str | None) -> Path:
        made: dict[str, Any] = {}
        with contextlib.suppress(InputError):  # of a damaged checkpoint: it is not needed here
            made = read_config(self.checkpoint_path())
        require_same(self.config_path, self.checkpoint_path(), made)
        if direction is None or self.directions:
            direction = self.check_direction(direction).name
        path = self.translator_path(direction)
        if not path.is_file():
            there = " and ".join(sorted(p.stem for p in path.parent.glob("[!.]*.keras")))
            found = f"only {there}" if there else "none yet: it stopped before its first checkpoint"
            raise InputError(f"{self.path}: has no translator {direction} ({found}).")
        record = self.completion
        if record is not None and record.is_interrupted:
            log.warning(
                "%s: its translators may be of an earlier step than its checkpoint, as a training"
                " writes them or was killed; `tfi2i train --resume %s` goes on from there.",
                *(self.path, self.path),
            )
        return path

    def value_range(self, domain: str | None) -> tuple[float, float] | None:
        """Numbers in the files of a domain that were black and white in training; None: pixels.

        Raises:
            InputError: if the settings name none, but how to find one.
        """
        return settled(self.config.get("data") or {}, domain, str(self.config_path))

    def ranges(self, way: Direction) -> Ranges:
        """Value ranges of what goes in and comes out; a sampler makes pictures to look at."""
        if way.source is None:
            return PLAIN
        return Ranges(self.value_range(way.source), self.value_range(way.target))

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions of the run's system; none of a system that this version does not know."""
        from tfi2i.models import ALL

        config = self.config
        system = ALL.get(str(config.get("system")))
        try:
            return () if system is None else system.directions_of(config.get("model") or {})
        except (AttributeError, TypeError, ValueError) as error:
            told = printable(str(error), 200).removesuffix(".")
            raise InputError(f"{self.config_path}: section `model`: {told}.") from error

    def check_direction(self, direction: str | None = None) -> Direction:
        """The direction of a name; None: the first.

        Raises:
            InputError: if the run's system does not translate in that direction.
        """
        ways = {way.name: way for way in self.directions or BOTH_WAYS}
        way = next(iter(ways.values()))
        if direction is None:
            return way
        if direction in ways:
            return ways[direction]
        config = self.config
        system = config.get("system")
        if len(ways) == 1 and direction == f"{way.target}2{way.source}":
            swapped = (config.get("data") or {}).get("swap", False)
            raise InputError(
                f"{self.path}: {system} translates {way.source} to {way.target} only; for the"
                " other way train again with the domains exchanged, by --set"
                f" data.swap={str(not swapped).lower()}."
            )
        raise InputError(
            f"{self.path}: {system} has no direction {direction!r}; choose {', '.join(ways)}."
        )

    # one process at a time

    def logged(self) -> contextlib.AbstractContextManager[None]:
        """Writes what tfi2i logs inside, and what ends it, to log.txt after what is there."""
        return logged(self.log_path)

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Holds the run for writing and clears what a killed process left in it.

        Raises:
            InputError: if another process holds it.
        """
        return held(self.path)


def planned_name(parent: str | Path, system_name: str, data_name: str) -> str:
    """Name of the next run of `parent`, unless another process is faster."""
    return f"{_next_number(Path(parent)):05d}-{_name(system_name, data_name)}"


def _name(system_name: str, data_name: str) -> str:
    return f"{_slug(system_name, '')}-{_slug(data_name, '-')}"


def _slug(name: str, between: str) -> str:
    return re.sub(r"[^a-z0-9]+", between, name.lower()).strip("-")[:40] or "unnamed"


def _next_number(parent: Path) -> int:
    found = (_NUMBER.match(path.name) for path in parent.glob("*"))
    return 1 + max((int(number[1]) for number in found if number), default=0)


@contextlib.contextmanager
def _removed_if_unfinished(folder: Path) -> Iterator[None]:
    """Removes a folder whatever interrupts what is done inside, but for a kill."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _claim_number(parent: Path) -> Path:
    """An empty folder `.00003` whose number is nobody else's, as only making one is atomic."""
    number = _next_number(parent)
    while True:
        claimed = parent / f".{number:05d}"
        # If it is there, another process has it, or died with it: a number may be skipped.
        with contextlib.suppress(FileExistsError):
            claimed.mkdir()
            # Between reading the names and claiming, another process may have claimed and renamed.
            if not any(parent.glob(f"{number:05d}-*")):
                return claimed
            claimed.rmdir()
        number += 1
