"""`tfi2i evaluate`: a run and its test pictures in; evaluation.json and report.html out."""

import datetime
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress
from rich.table import Table

from tfi2i.data.dataset import Dataset
from tfi2i.errors import InputError
from tfi2i.evaluate import backbones
from tfi2i.evaluate.measure import Answer, Gallery, Measure, warnings
from tfi2i.evaluate.report import Pictures, Row, write_report
from tfi2i.files import to_json, write_text
from tfi2i.pictures import sheets
from tfi2i.pictures.pixels import run_over, to_image
from tfi2i.runs import environment
from tfi2i.runs.run import Run
from tfi2i.terminal import progress_bar

log = logging.getLogger("tfi2i")

SCHEMA = 1
KID_WORDS = {
    "default": "unbiased, cubic kernel, all pairs; 95 % bootstrap interval",
    "nice-gan": "unbiased, cubic kernel, mean of 50 random subsets of at most 1,000",
}
_PIXELS_AT_ONCE = 2**19  # of translated images: 8 at 256 x 256


def evaluate(
    run: Run,
    data: Dataset,
    *,
    aspect: str = "squash",
    backbone: str | None = None,
    weights: Path | None = None,
    protocol: str = "default",
    images: int | None = None,
    train_images: int = 2000,
    seed: int = 0,
    command: str | None = None,
    show: bool = True,
) -> dict[str, Any]:
    """Measures the last and the best checkpoint of a run on test pictures, and writes the report.

    Everything is measured before anything is written: an evaluation that is interrupted leaves the
    last report where it was.

    Args:
        run: with at least one checkpoint.
        data: where the pictures come from.
        aspect: how they become squares, as in training.
        backbone: one of `backbones.NAMES`; None: the protocol's.
        weights: a file with the backbone's weights, instead of the known one.
        protocol: "default", or "nice-gan" for figures to set beside published tables.
        images: at most so many test pictures of each domain; None: all.
        train_images: at most so many training pictures of each domain.
        seed: of samples and of the bootstrap.
        command: what was typed, for the report; None: `tfi2i evaluate` and the run.
        show: whether to draw a progress bar.

    Returns:
        What evaluation.json holds; the report stands beside it.

    Raises:
        InputError: no checkpoint, too few pictures, no backbone, or numbers that make no sense.
    """
    if (images is not None and images < 2) or train_images < 2:
        raise InputError("--images and --train-images are numbers of pictures, 2 or more.")
    name = backbone or ("inception-2015" if protocol == "nice-gan" else backbones.NAMES[0])
    features = backbones.load(name, weights=weights, protocol=protocol)
    started, now = time.perf_counter(), datetime.datetime.now(datetime.UTC)
    system = run.load_system("last")
    measure = Measure(
        data,
        features,
        image_size=system.image_size,
        aspect=aspect,
        images=images,
        train_images=train_images,
        seed=seed,
        protocol=protocol,
    )
    best = _best(run, system.step)
    with progress_bar(show=show) as progress:
        directions, galleries = _measured(measure, {"last": system} | best, progress)
    protocol_used = {
        "name": protocol,
        "backbone": features.name,
        "dimensions": features.dimensions,
        "resizing": features.resizing,
        "image_size": system.image_size,
        "kid": KID_WORDS[protocol],
        "seed": seed,
    }
    evaluation = _about(run, system, data) | {
        "command": command or f"tfi2i evaluate {run.path}",
        "date": now.isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - started, 1),
        "protocol": protocol_used,
        "warnings": [
            sentence
            for direction, found in directions.items()
            for sentence in warnings(direction, found)
        ],
        "directions": directions,
    }
    with_truth = evaluation["paired"]
    pictures = {d: _pictures(system, d, found, with_truth) for d, found in galleries.items()}
    write_report(report_path(run, protocol, name), evaluation, run.read_metrics(), pictures)
    write_text(json_path(run, protocol, name), to_json(evaluation, indent=2) + "\n")
    return evaluation


def json_path(run: Run, protocol: str, backbone: str) -> Path:
    """Where the figures go: each backbone and protocol has files of its own, never mixed."""
    return run.evaluation_dir / f"evaluation{_suffix(protocol, backbone)}.json"


def report_path(run: Run, protocol: str, backbone: str) -> Path:
    """Where the report goes."""
    return run.evaluation_dir / f"report{_suffix(protocol, backbone)}.html"


def _about(run: Run, system: Any, data: Dataset) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "run": run.name,
        "path": str(run.path),
        "system": type(system).__name__,
        "data": data.name,
        "paired": "test" in data.paired,
        "environment": environment.describe(),
        "config": run.config,
    }


def _suffix(protocol: str, backbone: str) -> str:
    if protocol != "default":
        return f"-{protocol}"
    return "" if backbone == backbones.NAMES[0] else f"-{backbone}"


def _best(run: Run, last_step: int) -> dict[str, Any]:
    """The best checkpoint by name, if there is one and it is not the last one."""
    if not run.checkpoint_path("best").is_file():
        return {}
    system = run.load_system("best")
    return {} if system.step == last_step else {"best": system}


def _measured(
    measure: Measure, systems: dict[str, Any], progress: Progress
) -> tuple[dict[str, Any], dict[str, Gallery]]:
    directions = list(map(str, systems["last"].directions))
    trivial = 2
    total = 0
    for source, target in (direction.split("2") for direction in directions):
        total += measure.planned("test", target) + measure.planned("train", target)
        total += (trivial + len(systems)) * measure.planned("test", source)
    task = progress.add_task("", total=total)
    measure.advance = lambda count: progress.advance(task, count)
    found: dict[str, Any] = {}
    galleries = {direction: Gallery() for direction in directions}
    for direction in directions:
        source, target = direction.split("2")
        progress.update(task, description=f"real pictures of {target} and trivial answers")
        found[direction] = {
            "floor": measure.floor(target),
            "trivial": measure.trivial(direction),
            "checkpoints": {},
        }
        for which, system in systems.items():
            progress.update(task, description=f"{direction}, {which}")
            back = f"{target}2{source}"
            figures = measure.translation(
                direction,
                _answer(system, direction),
                _answer(system, back) if back in directions else None,
                galleries[direction],
                which,
            )
            galleries[direction].close()
            found[direction]["checkpoints"][which] = {"step": system.step} | figures
        found[direction]["n"] = measure.counts(direction)
    return found, galleries


def _answer(system: Any, direction: str) -> Answer:
    batch = max(1, _PIXELS_AT_ONCE // system.image_size**2)
    predictor = system.predictor(direction)
    return lambda pixels: run_over(predictor, pixels, batch)


def _pictures(system: Any, direction: str, gallery: Gallery, paired: bool) -> Pictures:
    def finished(rows: list[Row]) -> list[Row]:
        if not rows:
            return []
        real = np.stack([row.real for row in rows])
        attention = system.attention(to_image(real), direction)
        if attention is None:
            return rows
        maps = sheets.heat(np.asarray(attention), real.shape[1])
        return [row._replace(attention=one) for row, one in zip(rows, maps, strict=True)]

    distance = "L1 to the truth" if paired else "distance of features to the nearest real picture"
    return Pictures(
        finished(gallery.first), finished(gallery.best), finished(gallery.worst), distance
    )


def summary_table(evaluation: dict[str, Any]) -> Table:
    """The figures of an evaluation as a table for the terminal."""
    protocol = evaluation["protocol"]
    table = Table(
        title=f"{evaluation['run']} by {protocol['backbone']}; smaller is better",
        caption=f"pictures at {protocol['image_size']} pixels, then {protocol['resizing']}; KID "
        f"{protocol['kid']}",
    )
    table.add_column("")
    for heading in ("KID x 1000", "95 %", "FID", *(("L1",) if evaluation["paired"] else ())):
        table.add_column(heading, justify="right")
    for direction, found in evaluation["directions"].items():
        source, target = direction.split("2")
        n = found["n"]
        table.add_section()
        table.add_row(
            f"[bold]{source} to {target}[/]: {n['translated']} translated, {n['real']} real, "
            f"{n['train']} training"
        )
        rows = {"real training pictures (floor)": found["floor"]}
        rows |= {
            f"[bold]translations, {which}[/] (step {figures['step']})": figures
            for which, figures in found["checkpoints"].items()
        }
        rows["the input itself"] = found["trivial"]["identity"]
        rows["colour transfer"] = found["trivial"]["colour_statistics"]
        for name, figures in rows.items():
            table.add_row(f"  {name}", *_cells(figures, evaluation["paired"]))
    return table


def _cells(figures: dict[str, Any], paired: bool) -> list[str]:
    low, high = figures["kid_low"], figures["kid_high"]
    between = "" if low is None else f"{1000 * low:.1f} to {1000 * high:.1f}"
    cells = [f"{1000 * figures['kid']:.1f}", between, f"{figures['fid']:.1f}"]
    if paired:
        errors = figures.get("paired")
        cells.append(f"{errors['l1']:.3f}" if errors else "")
    return cells
