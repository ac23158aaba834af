"""Findings of `bench`, to look at and to compute with: a table, bench.json and a chart."""

import dataclasses
import datetime
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from tfi2i.evaluate.charts import BLUE, STYLE, VIOLET
from tfi2i.files import replacing, to_json, write_text
from tfi2i.runs.environment import describe, processor
from tfi2i_export.tflite.bench import Result

LABELS_APART = 0.07  # of the chart's height


def table(results: Sequence[Result]) -> Table:
    """A row a file; times are medians, with 10 % and 90 % of the runs for the fewest threads."""
    fewest, *more = results[0].latency
    first, *others = (f"ms, {_threads(i)}".replace(" thread", "\nthread") for i in (fewest, *more))
    caption = "parts + ops: of the network, that XNNPACK takes, and single ones outside of them"
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, caption=caption)
    made.add_column("file", overflow="fold")
    headings = ["MB", "PSNR\ndB", "parts\n+ ops", first, "10–90\n%"]
    headings += [*others, "peak\nMB", "time /\nfloat32", "time /\nplain"]
    for heading in headings:
        made.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        least = result.latency[fewest]
        made.add_row(
            Text(result.name),
            f"{result.size_bytes / 1e6:.2f}",
            _number(result.psnr_db, ".1f"),
            f"{_number(result.partitions, 'd')} + {sum(result.undelegated.values())}",
            f"{least.median_ms:.1f}",
            f"{least.low_ms:.1f}–{least.high_ms:.1f}",
            *(f"{result.latency[count].median_ms:.1f}" for count in more),
            _number(result.memory_mb, ".0f"),
            _number(result.ratio_float32, ".2f"),
            _number(result.ratio_plain, ".2f"),
        )
    return made


def write(results: Sequence[Result], folder: Path, *, runs: int) -> list[Path]:
    """Writes bench.json, bench.svg and bench.png into a folder and returns their paths."""
    paths = [folder / f"bench.{suffix}" for suffix in ("json", "svg", "png")]
    values = {
        "made": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "processor": processor(),
        "litert": metadata.version("ai-edge-litert"),
        "environment": describe(),
        "runs": runs,
        "results": [dataclasses.asdict(result) for result in results],
    }
    write_text(paths[0], to_json(values, indent=2) + "\n")
    _draw(results, paths[1:])
    return paths


def _draw(results: Sequence[Result], paths: Sequence[Path]) -> None:
    """Time with the fewest threads against agreement; a line for files that nobody compared."""
    import matplotlib
    from matplotlib.figure import Figure

    fewest = next(iter(results[0].latency))
    times = [result.latency[fewest].median_ms for result in results]
    levels = [result.psnr_db for result in results if result.psnr_db is not None]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.add_subplot()
        axes.grid(alpha=0.25, lw=0.6)
        axes.set_xlim(0, 1.4 * max(times))
        axes.set_ylim(min(levels, default=0) - 3, max(levels, default=0) + 3)
        axes.set_xlabel(f"time for a picture, {_threads(fewest)} (ms)")
        axes.set_ylabel("agreement with the run (PSNR, dB)")
        points = []
        for result, time in zip(results, times, strict=True):
            if result.psnr_db is None:
                axes.axvline(time, color=VIOLET, ls="--", lw=1.2)
                label = f"{result.name} ({time:.1f} ms, agreement not measured)"
                bottom = (time, axes.get_ylim()[0])
                note = axes.annotate(label, bottom, (3, 4), textcoords="offset points", rotation=90)
                note.set(va="bottom", color=VIOLET)
            else:
                label = f"{result.name} ({result.psnr_db:.1f} dB, {time:.1f} ms)"
                points.append((result.psnr_db, time, label))
        _mark_points(axes, sorted(points))
        for path in paths:
            stable = {"Date": None} if path.suffix == ".svg" else {}
            with replacing(path) as temporary:
                figure.savefig(temporary, dpi=150, metadata=stable)


def _mark_points(axes: Any, points: Sequence[tuple[float, float, str]]) -> None:
    """Points (PSNR, time, label), lowest first; those close together get a column of labels."""
    bottom, top = axes.get_ylim()
    apart = LABELS_APART * (top - bottom)
    columns: list[list[tuple[float, float, str]]] = []
    for point in points:
        if not columns or point[0] - columns[-1][0][0] >= apart * len(columns[-1]):
            columns.append([])
        columns[-1].append(point)
    for column in columns:
        left = max(time for _, time, _ in column) + 0.03 * axes.get_xlim()[1]
        for i, (psnr, time, label) in enumerate(column):
            axes.plot([time], [psnr], "o", color=BLUE, ms=6)
            line = {"arrowstyle": "-", "lw": 0.5, "color": BLUE, "relpos": (0, 0.5)}
            height = column[0][0] + i * apart
            axes.annotate(label, (time, psnr), (left, height), va="center", arrowprops=line)


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:{form}}"
