"""`tfi2i evaluate`: a run and its test pictures in; evaluation.json and report.html out."""

import datetime
import functools
import logging
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.progress import Progress
from rich.table import Column, Table

from tfi2i.conditions import Condition, Direction
from tfi2i.data.dataset import Dataset
from tfi2i.errors import InputError
from tfi2i.evaluate import backbones, report, ruler, variety
from tfi2i.evaluate.diagnosis import loss_notes
from tfi2i.evaluate.gallery import Gallery
from tfi2i.evaluate.measure import Answer, Measure, warnings
from tfi2i.files import to_json, write_text
from tfi2i.pictures import sheets
from tfi2i.pictures.pixels import run_over, to_image
from tfi2i.pictures.sizes import size_text
from tfi2i.runs import environment
from tfi2i.runs.run import Run
from tfi2i.terminal import progress_bar

log = logging.getLogger("tfi2i")

KID_WORDS = {
    "default": "unbiased, cubic kernel, all pairs; 95 % bootstrap interval",
    "nice-gan": "unbiased, cubic kernel, mean of 50 random subsets of at most 1,000",
}
_PIXELS_AT_ONCE = 2**19  # of translated images: 8 at 256 x 256


def evaluate(
    run: Run,
    data: Dataset,
    *,
    system: Any = None,
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
        run: Run with at least one checkpoint.
        data: Dataset of the pictures.
        system: System of the last checkpoint, where it is loaded already.
        aspect: Way in which they become squares, as in training.
        backbone: One of `backbones.NAMES`; None: the protocol's.
        weights: File with the backbone's weights, instead of the known one.
        protocol: "default", or "nice-gan" for figures to set beside published tables.
        images: Largest number of test pictures of each domain; None: all.
        train_images: Largest number of training pictures of each domain.
        seed: Seed of samples and of the bootstrap.
        command: Command as it was typed, for the report; None: `tfi2i evaluate` and the run.
        show: Progress bar on a terminal.

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
    metrics, system = run.read_metrics(), system or run.load_system("last")
    data = data.on(system.directions).in_channels(system.channels)
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
    with progress_bar(show=show) as progress:
        systems = {"last": system} | _best(run, system.step)
        directions, galleries = _measured(measure, systems, progress)
    ways = system.directions
    evaluation = {
        "schema": report.SCHEMA,
        "run": run.name,
        "path": str(run.path),
        "system": type(system).__name__,
        "data": data.name,
        "paired": "test" in data.paired,
        "environment": environment.describe(),
        "config": run.config,
        "command": command or f"tfi2i evaluate {run.path}",
        "date": now.isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - started, 1),
        "protocol": _protocol(measure),
        "warnings": [text for way in ways for text in warnings(way, directions[way.name])]
        + _remarks(system, metrics),
        "directions": directions,
    }
    pictures = {way.name: _pictures(system, way, galleries[way.name], measure) for way in ways}
    page = report_path(run, protocol, name)
    report.write_report(page, evaluation, metrics, pictures)
    figures = page.with_name(page.name.replace("report", "evaluation", 1)).with_suffix(".json")
    write_text(figures, to_json(evaluation, indent=2) + "\n")
    return evaluation


def _remarks(system: Any, metrics: list[dict[str, Any]]) -> list[str]:
    """Sentences on losses that taught nothing in the end, and on channels.

    The backbone knows RGB alone: it does not see other pictures as they are.
    """
    terms, numbers = system.discriminator_terms, system.get_compile_config()
    idle = [note for _, note in loss_notes(metrics, terms, numbers)]
    ways = {
        1: "grey, the same in all three channels",
        2: "false colours: the first band red, the second green and blue",
        4: "RGB on white where they are transparent",
    }
    domains = {name for way in system.directions for name in (way.source, way.target) if name}
    found = {
        name: ways[count] for name in sorted(domains) if (count := system.channels_of(name)) in ways
    }
    return idle + [
        f"KID and FID see the pictures of {name} as {how}." for name, how in found.items()
    ]


def report_path(run: Run, protocol: str, backbone: str) -> Path:
    """Where the report goes: each backbone and protocol has files of its own, never mixed."""
    usual = "" if backbone == backbones.NAMES[0] else f"-{backbone}"
    suffix = usual if protocol == "default" else f"-{protocol}"
    return run.evaluation_dir / f"report{suffix}.html"


def _protocol(measure: Measure) -> dict[str, Any]:
    backbone = measure.backbone
    return {
        "name": measure.protocol,
        "backbone": backbone.name,
        "dimensions": backbone.dimensions,
        "resizing": backbone.resizing,
        "image_size": measure.image_size,
        "kid": KID_WORDS[measure.protocol],
        "seed": measure.seed,
    }


def _best(run: Run, last_step: int) -> dict[str, Any]:
    """The best checkpoint by name, if there is one and it is not the last one."""
    system = run.load_system("best") if run.checkpoint_path("best").is_file() else None
    return {} if system is None or system.step == last_step else {"best": system}


def _measured(
    measure: Measure, systems: dict[str, Any], progress: Progress
) -> tuple[dict[str, Any], dict[str, Gallery]]:
    ways = systems["last"].directions
    total = sum(
        measure.planned(split, domain)
        for domain in {way.target for way in ways}
        for split in ("train", "test")
    )
    targets = {way.target for way in ways}
    total += sum(min(ruler.PICTURES, measure.planned("train", target)) for target in targets)
    total += sum(_outputs(measure, systems, way) for way in ways)
    task = progress.add_task("", total=total)
    measure.advance = lambda count: progress.advance(task, count)
    rulers = functools.cache(measure.on_ruler)  # of many directions to one target
    found: dict[str, Any] = {}
    galleries = {way.name: Gallery() for way in ways}
    for way in ways:
        text = f"real pictures of {way.target or 'all domains'} and trivial answers"
        progress.update(task, description=text)
        found[way.name] = {
            "source": way.source,
            "target": way.target,
            "floor": measure.floor(way.target),
            "ruler": rulers(way.target),
            "trivial": measure.trivial(way),
            "checkpoints": {},
        }
        for which, system in systems.items():
            progress.update(task, description=f"{way}, {which}")
            figures = _figures(measure, system, way, galleries[way.name], which)
            galleries[way.name].close()
            found[way.name]["checkpoints"][which] = {"step": system.step} | figures
        found[way.name]["n"] = measure.counts(way)
    return found, galleries


def _outputs(measure: Measure, systems: dict[str, Any], way: Direction) -> int:
    """The number of pictures that the answers of a direction make."""
    count = measure.planned("test", way.source or way.target)
    several = sum(map(variety.values_of_one, _varied(systems["last"], way)))
    trivial = len(report.TRIVIAL) if measure.has_trivial(way) else 0
    each = count + several * min(count, variety.PICTURES)
    return trivial * count + len(systems) * each


def _varied(system: Any, way: Direction) -> list[Condition]:
    """The open conditions of a direction that can take several values."""
    conditions = system.conditions_of(way.name) if system.conditions else ()
    return [one for one in conditions if variety.values_of_one(one) > 1]


def _figures(
    measure: Measure, system: Any, way: Direction, gallery: Gallery, which: str
) -> dict[str, Any]:
    """All figures of a checkpoint; of one with open conditions also the variety of its outputs."""
    values, back = _values(measure, system, way), _back(measure, system, way)
    figures = measure.translation(way, _answer(system, way, values), back, gallery, which)
    answers = {
        one.name: {
            name: _answer(system, way, beside)
            for name, beside in variety.values_beside(one, values, measure.seed, way.target).items()
        }
        for one in _varied(system, way)
    }
    if answers:
        shown = gallery if which == "last" else None
        found, notes = variety.variety(measure, way, answers, shown)
        figures |= found | {"notes": figures["notes"] + notes}
    return figures


def _back(measure: Measure, system: Any, way: Direction) -> Answer | None:
    """The translator of the way back, where both domains are named."""
    for back in system.directions:
        if way.source and way.target and (back.source, back.target) == (way.target, way.source):
            return _answer(system, back, _values(measure, system, back))
    return None


def _values(measure: Measure, system: Any, way: Direction) -> variety.Values:
    """A value of each open condition for each test picture."""
    if not system.conditions:
        return {}
    count, given = measure.planned("test", way.source or way.target), {}
    if way.target not in measure.data.test:
        conditions = system.conditions_of(way.name)
        given = variety.real_labels(conditions, measure.data, count, measure.seed)
    return system.values_of(way.name, count, measure.seed, given=given)


def _answer(system: Any, way: Direction, values: variety.Values) -> Answer:
    predictor, batch = (
        system.predictor(way.name),
        max(1, _PIXELS_AT_ONCE // math.prod(system.sides)),
    )
    return lambda pixels, rows: run_over(
        predictor, pixels, batch, {name: value[rows] for name, value in values.items()}
    )


def _pictures(system: Any, way: Direction, gallery: Gallery, measure: Measure) -> report.Pictures:
    def finished(rows: list[report.Row]) -> list[report.Row]:
        if not rows or way.source is None:
            return rows
        real = np.stack([row.real for row in rows if row.real is not None])
        attention = system.attention(to_image(real), way.name)
        if attention is None:
            return rows
        maps = sheets.heat(np.asarray(attention), real.shape[1:3])
        return [row._replace(attention=one) for row, one in zip(rows, maps, strict=True)]

    nearest = "distance of features to the nearest real picture"
    distance = "L1 to the truth" if measure.has_truth(way) else nearest
    first, best, worst = map(finished, (gallery.first, gallery.best, gallery.worst))
    return report.Pictures(first, best, worst, distance)


def summary_table(evaluation: dict[str, Any]) -> Table:
    """The figures of an evaluation as a table for the terminal."""
    protocol = evaluation["protocol"]
    size = size_text(protocol["image_size"], " x ")
    headings = ("KID x 1000", "95 %", "FID", *(("L1",) if evaluation["paired"] else ()))
    table = Table(
        "",
        *(Column(heading, justify="right") for heading in headings),
        title=f"{evaluation['run']} by {protocol['backbone']}; smaller is better",
        caption=f"pictures at {size} pixels, then {protocol['resizing']}; KID {protocol['kid']}",
    )
    for direction, found in evaluation["directions"].items():
        words, made = report.direction_words(direction, found), report.made_words(direction, found)
        n, verb = found["n"], "sampled" if made == "samples" else "translated"
        table.add_section()
        table.add_row(
            f"[bold]{escape(words)}[/]: {n['translated']} {verb}, {n['real']} real, "
            f"{n['train']} training"
        )
        rows = {"real training pictures (floor)": found["floor"]}
        rows |= {
            f"[bold]{made}, {which}[/] (step {figures['step']})": figures
            for which, figures in found["checkpoints"].items()
        }
        rows |= {report.TRIVIAL[name]: figures for name, figures in found["trivial"].items()}
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
