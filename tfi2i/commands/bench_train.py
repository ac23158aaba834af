"""The verb that times a training step and says what it is made of: bench-train."""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfi2i.commands.arguments import add_set, add_smoke, add_verb
from tfi2i.errors import InputError
from tfi2i.limits import Count, option

if TYPE_CHECKING:
    from rich.table import Table

CHECKOUT = Path(__file__).parents[2]
ROUNDS = 2  # of each of two checkouts, in turn
GIT_SECONDS = 120


def add(verbs) -> None:
    """Adds `tfi2i bench-train`."""
    verb = add_verb(
        verbs,
        run,
        "bench-train",
        "time the training step of a configuration, and say what it is made of",
        "Prints the seconds of a step, images a second, what loading, each update and the\n"
        "optimizers take, multiplications and how near they come to this machine's speed, and\n"
        "memory. With --against, another version of tfi2i is timed in turn with this one.",
        "  tfi2i bench-train nice_gan/scenes\n"
        "  tfi2i bench-train cyclegan/scenes --set model.image_size=128 --set model.width=32\n"
        "  tfi2i bench-train nice_gan/scenes --against HEAD~5",
    )
    config = "a YAML file, or the name of a shipped configuration"
    verb.add_argument("config", metavar="CONFIG", help=config)
    steps = "timed steps of a kind; fewer if they take a minute [20]"
    verb.add_argument("--steps", metavar="N", type=option(Count), default=20, help=steps)
    against = "a revision of this checkout, or the folder of another checkout"
    verb.add_argument("--against", metavar="REV", help=against)
    add_smoke(verb)
    add_set(verb)


def run(arguments: argparse.Namespace) -> int:
    """Times the step and prints the table."""
    from tfi2i import yaml_text
    from tfi2i.benchmark.measuring import in_own_process
    from tfi2i.config import config as configs
    from tfi2i.terminal import make_console, progress_bar

    load = configs.load_smoke if arguments.smoke else configs.load
    stated = load(arguments.config, arguments.overrides)  # older versions lack new settings
    with tempfile.TemporaryDirectory() as folder, _checkout(arguments.against) as other:
        path = Path(folder, "config.yaml")
        path.write_text(yaml_text.dump(stated.as_dict()), encoding="utf-8")
        turns = [CHECKOUT] if other is None else [CHECKOUT, other] * ROUNDS
        found: dict[Path, list[dict[str, Any]]] = {checkout: [] for checkout in turns}
        with progress_bar() as progress:
            task = progress.add_task("timing", total=len(turns) + 1)
            macs_a_step = in_own_process("work", path)["macs"]
            progress.advance(task)
            for checkout in turns:
                found[checkout].append(_timed(checkout, path, arguments.steps))
                progress.advance(task)
    console = make_console()
    console.print(_table(arguments.config, found[CHECKOUT], macs_a_step))
    if other is not None:
        pairs = zip(found[CHECKOUT], found[other], strict=True)
        ratios = [_median(mine) / _median(theirs) for mine, theirs in pairs]
        words = f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        print(f"A step takes {words} of the time that it takes in {arguments.against}.")
    return 0


@contextmanager
def _checkout(revision: str | None) -> Iterator[Path | None]:
    """The folder of another version, made for as long as it is needed unless it is one already."""
    from tfi2i.processes import answer_of

    if revision is None or (Path(revision) / "tfi2i" / "__init__.py").is_file():
        yield None if revision is None else Path(revision).resolve()
        return
    git = ("git", "-C", str(CHECKOUT))
    with tempfile.TemporaryDirectory() as folder:
        add = (*git, "worktree", "add", "--detach", f"{folder}/tfi2i", revision)
        if answer_of(*add, seconds=GIT_SECONDS) is None:
            raise InputError(
                f"--against {revision}: is no folder of a checkout, and no revision of {CHECKOUT}."
            )
        try:
            yield Path(folder, "tfi2i")
        finally:
            answer_of(*git, "worktree", "remove", "--force", f"{folder}/tfi2i", seconds=GIT_SECONDS)


def _timed(checkout: Path, path: Path, steps: int) -> dict[str, Any]:
    """Findings of this version's `benchmark.training_step` on the code of a checkout."""
    from tfi2i.benchmark import training_step
    from tfi2i.processes import run_module

    with tempfile.TemporaryDirectory() as folder:  # a folder with this one module
        source = Path(training_step.__file__)
        Path(folder, source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
        places = [checkout, checkout / "export", folder, *filter(None, sys.path)]
        variables = {"PYTHONPATH": os.pathsep.join(map(str, places))}
        child = run_module(source.stem, path, steps, variables=variables)
    if child.code:
        raise InputError(f"{checkout}: the process that times its step failed: {child.reason}")
    return json.loads(child.output.splitlines()[-1])


def _median(found: dict[str, Any]) -> float:
    return statistics.median(found["seconds"])


def _table(name: str, rounds: list[dict[str, Any]], macs_a_step: int) -> "Table":
    from rich.table import Table

    seconds = [one for found in rounds for one in found["seconds"]]
    step, found = statistics.median(seconds), rounds[0]
    table = Table(title=f"a training step of {name}", show_header=False)
    quarters = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else [step] * 3
    table.add_row(
        "seconds a step", f"{step:.4f} (quartiles {quarters[0]:.4f} to {quarters[2]:.4f})"
    )
    table.add_row("images a second", f"{found['batch_size'] / step:.1f}")
    table.add_row("first step", f"{found['first']:.1f} s, with the building of its graph")
    table.add_row(
        "loading alone", f"{found['data']:.4f} s, {_percent(found['data'] / step)} of a step"
    )
    whole = _median(found)
    for left_out, rest in found["without"].items():
        words = "work of the optimizers" if left_out == "optimizers" else f"update of {left_out}"
        table.add_row(words, f"{_percent(1 - rest / whole)}: what a step without it saves")
    macs = macs_a_step / step
    table.add_row("multiplications", f"{macs_a_step / 1e9:.3f} G a step, {macs / 1e9:.1f} G/s")
    ceiling = found["macs_per_second"]
    share = f"{_percent(macs / ceiling)} of a large matrix product's {ceiling / 1e9:.0f} G/s"
    table.add_row("share of the ceiling", share)
    if found["memory_mb"] is not None:
        table.add_row("memory", f"{found['memory_mb']:.0f} MB of the system and its steps")
    return table


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
