"""Which settings train a configuration best: successive halving over settings and seeds.

    python configs/search.py nice_gan/scenes configs/nice_gan/search_scenes.yaml --out search

The YAML file names the candidates, each with its settings:

    as shipped: []
    higher rate: [compile.learning_rate=2e-3]

Every candidate trains with every seed up to the first rung of steps, under the schedule of the last
one. The better half goes on from there to the next rung, and so on; the first candidate always
does, as what the others are measured against. Better is who has the lower mean of its ranks in
validation KID and, of paired data, in validation L1. search.md in the folder is the table; every
training is an ordinary run beside it. Stopped at any moment, the same command goes on.
"""

import argparse
import math
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tfi2i import Run, yaml_text
from tfi2i.errors import InputError
from tfi2i.files import write_text
from tfi2i.runs.environment import processor
from tfi2i.terminal import printable, progress_bar

FIGURES = {"val_kid": ("KID x 1000", 1000, ".0f"), "val_l1": ("L1", 1, ".3f")}
POLL_SECONDS = 0.5

# Candidate -> rung -> one report a seed.
Table = dict[str, dict[int, list[Mapping[str, float]]]]


def main() -> int:
    """Trains, halves, and prints where the table is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="a YAML file, or the name of a shipped configuration")
    parser.add_argument("candidates", type=Path, help="a YAML file of settings by name")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and the table")
    rungs = "steps at which half of the candidates stop [400,800,1600,2400]"
    parser.add_argument("--rungs", type=_increasing, default=[400, 800, 1600, 2400], help=rungs)
    seeds = "seeds of every candidate [0,1]"
    parser.add_argument("--seeds", type=_increasing, default=[0, 1], help=seeds)
    arguments = parser.parse_args()
    try:
        candidates = read_candidates(arguments.candidates)
        search(arguments.config, candidates, arguments.out, arguments.rungs, arguments.seeds)
    except InputError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    print(arguments.out / "search.md")
    return 0


def _increasing(text: str) -> list[int]:
    numbers = [int(word) if word.isdecimal() else -1 for word in text.split(",")]
    if numbers[0] < 0 or any(one >= two for one, two in pairwise(numbers)):
        raise argparse.ArgumentTypeError(f"{text!r} is not increasing whole numbers such as 1,2,4")
    return numbers


def read_candidates(path: Path) -> dict[str, list[str]]:
    """Settings by the candidate's name."""
    values = yaml_text.read(path).values
    for name, settings in values.items():
        if not isinstance(settings, list) or not all(isinstance(one, str) for one in settings):
            raise InputError(
                f"{path}: {name!r} must be a list of `section.key=value`, empty as it is shipped."
            )
    if len(values) < 2:
        raise InputError(f"{path}: names {len(values)} candidate; name two or more.")
    folders = [_slug(name) for name in values]
    if len(set(folders)) < len(folders):
        raise InputError(
            f"{path}: two names have the same letters and digits; their runs would share a folder."
        )
    return values


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")


def search(
    config: str, candidates: Mapping[str, list[str]], out: Path, rungs: list[int], seeds: list[int]
) -> Table:
    """Successive halving; writes search.md after every training.

    Args:
        config: Name or file of a configuration.
        candidates: Settings by name; the first is the reference.
        out: Folder of the runs and the table.
        rungs: Steps, increasing; the last is `compile.total_steps`.
        seeds: Seeds of the first weights and the order of examples.

    Raises:
        InputError: A training is refused or fails.
    """
    table: Table = {name: {} for name in candidates}
    left = list(candidates)
    with progress_bar() as progress:
        for number, rung in enumerate(rungs):
            task = progress.add_task(f"to step {rung}", total=len(left) * len(seeds))
            for name in left:
                for seed in seeds:
                    settings = [
                        *candidates[name],
                        f"compile.total_steps={rungs[-1]}",
                        f"fit.checkpoint_steps={math.gcd(*rungs)}",
                        f"fit.seed={seed}",
                    ]
                    folder = out / f"{_slug(name)}-{seed}"
                    report = train(config, settings, folder, rung)
                    table[name].setdefault(rung, []).append(report)
                    write_text(out / "search.md", written(table, config, candidates))
                    progress.advance(task)
            if number + 1 < len(rungs):
                left = better_half(left, {name: table[name][rung] for name in left})
    return table


def train(config: str, settings: Sequence[str], folder: Path, step: int) -> Mapping[str, float]:
    """The report of a run of the folder at a step, trained to there if it is not yet.

    Raises:
        InputError: The training is refused or fails.
    """
    runs = sorted(path.parent for path in folder.glob("*/config.yaml"))
    run = Run(runs[0]) if runs else None
    if run is None or not _is_at(run, step):
        words = ["--resume", str(run.path)] if run else [config, "--runs", str(folder)]
        if run is None:
            words += [word for one in settings for word in ("--set", one)]
        folder.mkdir(parents=True, exist_ok=True)
        _run_until(["-m", "tfi2i.cli", "train", *words], folder, step)
        run = Run(min(path.parent for path in folder.glob("*/config.yaml")))
    for report in run.read_metrics():
        if report["step"] == step and report.get("val_kid") is not None:
            return report
    raise InputError(
        f"{run.path}: has no validation KID of step {step}; leave fit.evaluate_steps as it is."
    )


def _is_at(run: Run, step: int) -> bool:
    done = run.completion
    return done is not None and done.step is not None and done.step >= step


def _run_until(words: Sequence[str], folder: Path, step: int) -> None:
    """Stops the training once its checkpoint of the step is there: a resume goes on from that."""
    with (folder / "output.txt").open("a", encoding="utf-8") as output:
        child = subprocess.Popen([sys.executable, *words], stdout=output, stderr=output)
        try:
            while child.poll() is None:
                time.sleep(POLL_SECONDS)
                made = [Run(path.parent) for path in folder.glob("*/complete.json")]
                if made and _is_at(made[0], step):
                    child.terminate()
                    break
        finally:
            if child.poll() is None:
                child.terminate()
            code = child.wait()
    if code not in (0, 128 + signal.SIGTERM):
        lines = (folder / "output.txt").read_text(encoding="utf-8", errors="replace").splitlines()
        raise InputError(f"{folder}: the training failed: {lines[-1] if lines else code}")


def better_half(
    names: Sequence[str], reports: Mapping[str, Sequence[Mapping[str, float]]]
) -> list[str]:
    """The reference (the first), and those of the others which come before half of all."""
    ranks = dict.fromkeys(names, 0)
    for figure in FIGURES:
        means = _means(reports, figure)
        for name in means:
            ranks[name] += sum(means[other] < means[name] for other in means)
    ordered = sorted(names, key=lambda name: ranks[name])
    kept = ordered[: max(2, math.ceil(len(names) / 2))]
    return [name for name in names if name in kept or name == names[0]]


def _means(reports: Mapping[str, Sequence[Mapping[str, float]]], figure: str) -> dict[str, float]:
    """Means over seeds of those that have the figure."""
    return {
        name: statistics.fmean(report[figure] for report in of_seeds)
        for name, of_seeds in reports.items()
        if all(report.get(figure) is not None for report in of_seeds)
    }


def written(table: Table, config: str, candidates: Mapping[str, list[str]]) -> str:
    """The table as Markdown: a row a candidate, a column a rung, mean (lowest to highest seed)."""
    rungs = sorted({rung for rows in table.values() for rung in rows})
    lines = [
        f"Validation figures of `{config}` on {processor()}, the mean of both directions and of the"
        " seeds (lowest to highest seed). Steps:",
        "",
        "| candidate | settings | " + " | ".join(map(str, rungs)) + " |",
        "|---" * (2 + len(rungs)) + "|",
    ]
    for name, settings in candidates.items():
        cells = [_cell(table[name].get(rung, [])) for rung in rungs]
        shown = ", ".join(f"`{one}`" for one in settings) or "as it is"
        lines.append(f"| {name} | {shown} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(reports: Iterable[Mapping[str, Any]]) -> str:
    parts = []
    for figure, (words, scale, form) in FIGURES.items():
        values = [report[figure] * scale for report in reports if report.get(figure) is not None]
        if values:
            span = f" ({min(values):{form}} to {max(values):{form}})" if len(values) > 1 else ""
            parts.append(f"{words} {statistics.fmean(values):{form}}{span}")
    return "; ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
