"""Tries targets with fresh seeds in child processes until a time is over, and counts the ends.

A child that crashes, hangs or is killed for its memory is a fault of its case, whose seed is
printed with the command that tries it again; what it read is kept.
"""

import multiprocessing
import re
import resource
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rich.progress import TextColumn, TimeRemainingColumn
from rich.table import Table

from fuzz.outcomes import FAULT, REFUSED, RIGHT, Outcome, Target, tried
from tfi2i.terminal import make_console, progress_bar

BATCH_SECONDS = 6.0
"""Time of a child after its first case, until another target has its turn."""
START_SECONDS = 120.0
"""Time in which a child has to begin: it imports TensorFlow, and makes what is mutated."""
MOST_BYTES = 12 << 30
"""Memory beyond which a child gets no more, and the machine stays usable."""
MOST_FAULTS = 20
"""Faults of a target after which it is not tried any more."""


@dataclass
class Count:
    """Cases of a target by how they ended, and the seconds that they took."""

    ends: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


@dataclass(frozen=True)
class Fault:
    """A case that ended wrongly."""

    target: str
    seed: int
    words: str
    kept: Path


@dataclass
class Runner:
    """Runs cases of targets, and counts.

    Attributes:
        targets: Targets by name.
        faults_folder: Folder in which the inputs of faults are kept.
        source: Module and name of a mapping of targets, for child processes.
    """

    targets: Mapping[str, Target]
    faults_folder: Path
    source: tuple[str, str] = ("fuzz.targets", "ALL")
    counts: dict[str, Count] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def run(self, seconds: float, first_seed: int, show: bool = True) -> None:
        """Tries all targets by turns, each for as long as the others, until the time is over."""
        self.counts = {name: Count() for name in self.targets}
        end = time.monotonic() + seconds
        turn = min(BATCH_SECONDS, 0.8 * seconds / len(self.targets))  # each has one at least
        seeds = dict.fromkeys(self.targets, first_seed)
        bar = progress_bar(TextColumn("{task.fields[told]}"), TimeRemainingColumn(), show=show)
        with bar:
            task = bar.add_task("", total=seconds, told="")
            while (left := end - time.monotonic()) > 0 and (open_ := self._open()):
                name = min(open_, key=lambda one: self.counts[one].seconds)
                started = time.monotonic()
                for _ in self.batch(name, seeds[name], min(turn, left)):
                    seeds[name] += 1
                    told = f"{len(self.faults)} faults" if self.faults else ""
                    bar.update(task, description=name, told=told)
                    bar.update(task, completed=seconds - max(0.0, end - time.monotonic()))
                self.counts[name].seconds += time.monotonic() - started

    def _open(self) -> list[str]:
        return [name for name, one in self.counts.items() if one.ends[FAULT] < MOST_FAULTS]

    def batch(
        self, name: str, seed: int, seconds: float, most: int | None = None
    ) -> Iterator[Outcome]:
        """Tries seeds of a target in one child, from `seed` on; the outcomes as they come."""
        count = self.counts.setdefault(name, Count())
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([self.source[0]])
        ours, theirs = context.Pipe(duplex=False)
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            arguments = (self.source, name, seed, seconds, most, theirs, folder)
            child = context.Process(target=_try_seeds, args=arguments)
            child.start()
            theirs.close()
            try:
                for number, outcome in _outcomes(ours, child, seed, self.targets[name].seconds):
                    count.ends[outcome.kind] += 1
                    if outcome.kind == FAULT:
                        self._keep(name, number, outcome, Path(folder) / str(number))
                    yield outcome
            finally:
                child.kill()
                child.join()
                ours.close()

    def _keep(self, name: str, seed: int, outcome: Outcome, folder: Path) -> None:
        slug = re.sub(r"\W+", "-", name.lower()).strip("-")
        kept = self.faults_folder / f"{slug}-{seed}"
        shutil.rmtree(kept, ignore_errors=True)
        if folder.is_dir():
            shutil.copytree(folder, kept, symlinks=True)
        kept.mkdir(parents=True, exist_ok=True)
        text = f"{again(name, seed)}\n{outcome.words}\n\n{outcome.trace}"
        (kept / "fault.txt").write_text(text, "utf-8", "backslashreplace")
        self.faults.append(Fault(name, seed, outcome.words, kept))

    def report(self) -> int:
        """Prints the table and the faults; 1 if there are any."""
        console = make_console()
        table = Table("target", *(("tried", RIGHT, REFUSED, "faults")), box=None)
        for column in table.columns[1:]:
            column.justify = "right"
        total: Counter[str] = Counter()
        for name, one in self.counts.items():
            table.add_row(name, *_row(one.ends))
            total += one.ends
        table.add_section()
        table.add_row("all", *_row(total))
        console.print(table)
        for fault in self.faults:
            console.print(
                f"\n{fault.target}, seed {fault.seed}: {fault.words}", markup=False, soft_wrap=True
            )
            command = f"  {again(fault.target, fault.seed)}   # {fault.kept}"
            console.print(command, markup=False, soft_wrap=True)
        return 1 if self.faults else 0


def _row(ends: Mapping[str, int]) -> list[str]:
    return [f"{one:,}" for one in (sum(ends.values()), *(ends[k] for k in (RIGHT, REFUSED, FAULT)))]


def again(name: str, seed: int) -> str:
    """The command that tries a case once more."""
    return f"make fuzz TARGET='{name}' SEED={seed}"


def _outcomes(
    messages: Connection, child: Any, first: int, seconds: float
) -> Iterator[tuple[int, Outcome]]:
    """Seeds with their outcomes as a child tells them, and with its own end, if that is none."""
    seed, limit = first, START_SECONDS
    while True:
        if not messages.poll(limit):
            child.kill()
            yield seed, Outcome(FAULT, f"does not end within {limit:g} s")
            return
        try:
            message = messages.recv()
        except EOFError:
            child.join()
            code = child.exitcode or 0
            end = signal.strsignal(-code) if code < 0 else f"code {code}"
            yield seed, Outcome(FAULT, f"the process ends: {end}")
            return
        if message is None:
            return
        if isinstance(message, int):
            seed, limit = message, 2 * seconds + START_SECONDS / 4
        else:
            yield seed, message


def _try_seeds(
    source: tuple[str, str],
    name: str,
    seed: int,
    seconds: float,
    most: int | None,
    messages: Connection,
    folder: str,
) -> None:
    """Tries seeds until the time is over: sends each before, and its outcome afterwards."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner ends it
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
    module = __import__(source[0], fromlist=[source[1]])
    target = getattr(module, source[1])[name]
    end, first = float("inf"), seed
    while time.monotonic() < end and (most is None or seed < first + most):
        place = Path(folder) / str(seed)
        place.mkdir()
        messages.send(seed)
        outcome = tried(target, seed, place)
        messages.send(outcome)
        # The first case makes what is changed, too.
        end = min(end, time.monotonic() + seconds)
        if outcome.kind != FAULT:
            shutil.rmtree(place, ignore_errors=True)
        seed += 1
    messages.send(None)
