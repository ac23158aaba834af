"""report.html: one file, opened from disk, that shows how good a training's translations are.

Figures come from the values of evaluation.json, curves from the run's metrics, pictures as pixels.
"""

import base64
import io
import json
import math
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tfi2i.conditions import ANY, BOTH_WAYS
from tfi2i.errors import InputError
from tfi2i.evaluate import ruler
from tfi2i.evaluate.charts import kid_chart, loss_chart
from tfi2i.evaluate.pages import rendered
from tfi2i.files import write_text
from tfi2i.pictures.channels import shown
from tfi2i.pictures.pixels import require_pixels

Pixels = NDArray[np.uint8]
Values = Mapping[str, Any]
Reports = Sequence[Values]

SCHEMA = 1
LARGEST_PNG = 96  # sides up to this are embedded without loss, larger ones as WebP
WEBP_QUALITY = 90
CHECKPOINTS = {"last": "Last checkpoint", "best": "Best checkpoint"}
TRIVIAL = {
    "identity": "the input itself",
    "colour_statistics": "colour transfer",
    "mean_image": "the mean picture",
}
CHECKS = {"copying": "l1", "memorising": "fake", "diversity": "fake"}  # each with its figure's key


class Row(NamedTuple):
    """One test picture of one direction and what became of it; all pixels uint8 (S, S, 3).

    `distance` is in the units that its `Pictures` name; `fakes` are by checkpoint, "last" and
    "best"; `cycle`, the colours of `attention` and `others`, the outputs under further values of
    conditions by their names, are of the last checkpoint.
    """

    name: str
    distance: float
    real: Pixels | None
    fakes: dict[str, Pixels]
    cycle: Pixels | None
    attention: Pixels | None
    truth: Pixels | None
    others: Mapping[str, Pixels] = MappingProxyType({})


class Pictures(NamedTuple):
    """The pictures of one direction; `distance` says in words what a row's distance measures."""

    grid: list[Row]
    best: list[Row]
    worst: list[Row]
    distance: str


def write_report(
    path: Path, evaluation: Values, metrics: Reports, pictures: Mapping[str, Pictures]
) -> None:
    """Writes the page whole, or leaves the one that is there.

    Args:
        path: File of the page; replaced if it exists.
        evaluation: Values of evaluation.json; what is null or missing is left out.
        metrics: Run's reports, each with its "step".
        pictures: Pictures by direction; a direction may be missing.

    Raises:
        InputError: an evaluation of another schema, or a picture that is not uint8 (S, S, 3).
    """
    if evaluation.get("schema") != SCHEMA:
        raise InputError(
            f"The evaluation has schema {evaluation.get('schema')!r} and the report reads {SCHEMA};"
            " evaluate the run again."
        )
    page = rendered(
        "report.html",
        evaluation=evaluation,
        directions=[
            _direction(number, key, result, metrics, pictures.get(key))
            for number, (key, result) in enumerate(evaluation["directions"].items())
        ],
        losses=list(_losses(metrics)),
        notes=list(_notes(evaluation)),
        config=list(_flat(evaluation["config"])),
        environment=list(_flat(evaluation["environment"])),
    )
    write_text(path, page)


def _direction(
    number: int, key: str, result: Values, metrics: Reports, pictures: Pictures | None
) -> dict[str, Any]:
    """Contents of the page for one direction."""
    words, (source, target) = direction_words(key, result), ends(key, result)
    columns, rows = _scores(result)
    return {
        "label": words,
        "source": source and _domain(source),
        "target": _domain(target),
        "n": result["n"],
        "verdict": _verdict(result),
        "choice": _choice(result["checkpoints"]),
        "columns": columns,
        "rows": rows,
        "ruler": list(ruler.words(result)),
        "checks": list(_checks(result["checkpoints"])),
        "checkpoints": _checkpoint_names(result["checkpoints"]),
        "kid_chart": _kid_chart(number, key, result, metrics),
        "sections": [] if pictures is None else list(_sections(words, pictures)),
        "attention": pictures is not None
        and any(row.attention is not None for part in pictures[:3] for row in part),
    }


# words


def ends(direction: str, result: Values) -> tuple[str | None, str | None]:
    """Source and target of a direction; evaluations of before they said so have a2b and b2a."""
    if "source" in result:
        return result["source"], result["target"]
    return next((way.source, way.target) for way in BOTH_WAYS if way.name == direction)


def direction_words(direction: str, result: Values) -> str:
    """A direction in words: "a to b"."""
    source, target = ends(direction, result)
    if source is None:
        return direction
    return f"{source} by label" if target is None else f"{source} to {target}"


def made_words(direction: str, result: Values) -> str:
    """The word for pictures that a direction makes."""
    return "samples" if ends(direction, result)[0] is None else "translations"


def _domain(name: str | None) -> str:
    return "all domains" if name in (None, ANY) else str(name)


def _number(value: float | None, form: str, scale: float = 1) -> str:
    """The value in a format, or nothing where there is none."""
    return "" if value is None or not math.isfinite(value) else format(value * scale, form)


def _percent(share: float | None, form: str = ".1f") -> str:
    text = _number(share, form, 100)
    return f"{text} %" if text else ""


def _kid(score: Values) -> str:
    return _number(score["kid"], "z.2f", 1000)


def _verdict(result: Values) -> str:
    """The last checkpoint against the floor and the trivial answers, in one sentence."""
    last, floor, trivial = result["checkpoints"]["last"], result["floor"], result["trivial"]
    parts = []
    if _kid(last):
        others = [f"real pictures {_kid(floor)}"]
        others += [f"{TRIVIAL[key]} {_kid(score)}" for key, score in trivial.items()]
        parts.append(f"KID {_kid(last)} ({', '.join(others)}){_standing(last, floor, trivial)}")
    if paired := _paired(last):
        parts.append(f"L1 {_number(paired['l1'], '.3f')}")
        answers = {key: _paired(score)["l1"] for key, score in trivial.items() if _paired(score)}
        if answers:
            best, error = min(answers.items(), key=operator.itemgetter(1))
            parts[-1] += f" against {error:.3f} of the best trivial answer ({TRIVIAL[best]})"
    return "; ".join(parts) or "not measured"


def _standing(last: Values, floor: Values, trivial: Mapping[str, Values]) -> str:
    if floor["kid_high"] is not None and last["kid"] <= floor["kid_high"]:
        return ", not distinguishable from real pictures by this measure"
    kids = {key: score["kid"] for key, score in trivial.items() if score["kid"] is not None}
    if kids and last["kid"] >= min(kids.values()):
        return f", no better than {TRIVIAL[min(kids, key=kids.__getitem__)]}"
    return ""


def _choice(checkpoints: Values) -> str:
    """Which of two checkpoints KID prefers, if there are two and it can tell."""
    last, best = checkpoints["last"], checkpoints.get("best")
    if best is None or not _kid(last) or not _kid(best):
        return ""
    text = f"KID is {_kid(last)} at the last step, {last['step']}, and {_kid(best)} at "
    text += f"the best checkpoint's, {best['step']}: "
    bounds = [last["kid_low"], last["kid_high"], best["kid_low"], best["kid_high"]]
    if None in bounds:
        return text + "without intervals, it cannot be said whether that is more than chance."
    last_low, last_high, best_low, best_high = bounds
    if best_high < last_low:
        return text + "the best checkpoint is better, by more than chance explains."
    if last_high < best_low:
        return text + "the last checkpoint is better, by more than chance explains."
    return text + "the intervals overlap, so that the difference may be chance."


def _notes(evaluation: Values) -> Iterator[str]:
    yield from evaluation["warnings"]
    for direction, result in evaluation["directions"].items():
        for key, checkpoint in result["checkpoints"].items():
            where = f"{direction_words(direction, result)}, {CHECKPOINTS[key].lower()}"
            yield from (f"{where}: {note}" for note in checkpoint.get("notes") or ())


# tables


def _paired(score: Values) -> Values:
    return score.get("paired") or {}


def _checkpoint_names(checkpoints: Values) -> dict[str, tuple[str, str]]:
    """By key: name and step, in a fixed order."""
    return {
        key: (name, f"step {checkpoints[key]['step']}")
        for key, name in CHECKPOINTS.items()
        if key in checkpoints
    }


def _scores(result: Values) -> tuple[list[str], list[dict[str, Any]]]:
    """The measures that anything has, and the rows of the table: name, detail and cells by measure.

    A cell is (figure, what stands small beside it).
    """
    checkpoints = result["checkpoints"]
    named = [("Real pictures", "training against test: the floor", result["floor"], "floor")]
    for key, (name, step) in _checkpoint_names(checkpoints).items():
        named.append((name, step, checkpoints[key], "translation"))
    for key, score in result["trivial"].items():
        named.append((TRIVIAL[key].capitalize(), "learns nothing", score, "trivial"))
    rows: list[dict[str, Any]] = [
        {"name": name, "detail": detail, "kind": kind, "cells": _cells(score)}
        for name, detail, score, kind in named
    ]
    measures = rows[0]["cells"]
    return [key for key in measures if any(row["cells"][key][0] for row in rows)], rows


def _cells(score: Values) -> dict[str, tuple[str, str]]:
    paired, several = _paired(score), score.get("several") or {}
    low, high = (_number(score[key], "z.2f", 1000) for key in ("kid_low", "kid_high"))
    deviation = _number(score.get("kid_std"), ".2f", 1000)  # of protocols without an interval
    spread = f"{low} to {high}" if low and high else f"± {deviation}" if deviation else ""
    chance = _percent(paired.get("retrieval_chance"))
    return {
        "kid": (_kid(score), spread),
        "kid_coarse": (_number(score.get("kid_coarse"), "z.2f", 1000), ""),
        "fid": (_number(score["fid"], "z.1f"), ""),
        "l1": (_number(paired.get("l1"), ".3f"), ""),
        "psnr": (_number(paired.get("psnr_db"), ".1f"), ""),
        "ssim": (_number(paired.get("ssim"), "z.3f"), ""),
        "retrieval": (_percent(paired.get("retrieval_top1")), f"({chance})" if chance else ""),
        "several": (
            _number(several.get("l1_best"), ".3f"),
            f"mean {_number(several.get('l1_mean'), '.3f')}",
        ),
        "cycle_l1": (_number(score.get("cycle_l1"), ".3f"), ""),
    }


def _checks(checkpoints: Values) -> Iterator[dict[str, Any]]:
    """Rows of the table of checks: the figure of every checkpoint, and that of real pictures."""
    for key, figure in CHECKS.items():
        found = {name: score.get(key) or {} for name, score in checkpoints.items()}
        if any(values.get(figure) is not None for values in found.values()):
            yield {"key": key, "of": ""} | _check(found, figure, "real")
    for period in checkpoints["last"].get("grid") or ():
        found = {
            name: (score.get("grid") or {}).get(period, {}) for name, score in checkpoints.items()
        }
        yield {"key": "grid", "of": f"of period {period}"} | _check(found, "fake", "real")
    for condition in checkpoints["last"].get("variety") or ():
        found = {name: score["variety"][condition] for name, score in checkpoints.items()}
        yield {"key": "variety", "of": f"by {condition}"} | _check(found, "fake", "real")
        yield {"key": "variety_l1", "of": f"by {condition}"} | _check(found, "l1", "l1_real")


def _check(found: Mapping[str, Values], figure: str, real: str) -> dict[str, Any]:
    """The cells of a check by checkpoint, (figure, share of real pictures'), and the real one."""
    cells = {}
    for name, values in found.items():
        value, other = values.get(figure), values.get(real)
        share = f"{_percent(value / other, '.0f')} of real" if value is not None and other else ""
        cells[name] = (_number(value, ".3f"), share)
    return {"cells": cells, "real": _number(found["last"].get(real), ".3f")}


def _flat(values: Values, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted name, value as JSON or plain text) of nested settings."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield f"{prefix}{key}", text


# curves


def _kid_chart(number: int, key: str, result: Values, metrics: Reports) -> dict[str, str] | None:
    """KID while training, as SVG, with its lowest point in words; None if it was not measured."""
    term = f"val_kid_{key}"
    points = [(report["step"], report[term]) for report in metrics if report.get(term) is not None]
    if not points:
        return None
    scores = {"real pictures": result["floor"]}
    # The mean picture is so far away that the curve would lie flat below it.
    near = {name: score for name, score in result["trivial"].items() if name != "mean_image"}
    scores |= {TRIVIAL[name]: score for name, score in near.items()}
    levels = {name: score["kid"] for name, score in scores.items() if score["kid"] is not None}
    best = result["checkpoints"].get("best")
    steps, kids = zip(*points, strict=True)
    step, kid = min(points, key=lambda point: point[1])
    return {
        "svg": kid_chart(f"kid{number}", steps, kids, levels, best and best["step"]),
        "words": f"lowest at step {step}: {_number(kid, 'z.2f', 1000)}",
    }


def _losses(metrics: Reports) -> Iterator[dict[str, Any]]:
    """The terms of the losses, and the learning rates, each with its curve as SVG."""
    groups = {"Generator": "g", "Discriminator": "d", "Learning rate": "learning_rate"}
    for title, prefix in groups.items():
        terms = dict.fromkeys(
            term for report in metrics for term in report if re.fullmatch(prefix + r"_\w+", term)
        )
        charts = []
        for number, term in enumerate(terms):
            points = [(report["step"], report[term]) for report in metrics if term in report]
            svg = loss_chart(f"{prefix}{number}", *zip(*points, strict=True))
            charts.append({"term": term.removeprefix("learning_rate_"), "svg": svg})
        if charts:
            yield {"title": title, "charts": charts}


# pictures


def _sections(words: str, pictures: Pictures) -> Iterator[dict[str, Any]]:
    *groups, distance = pictures
    titles = ("Side by side", f"Best by {distance}", f"Worst by {distance}")
    for title, rows in zip(titles, groups, strict=True):
        shown = [
            {
                "name": row.name,
                "distance": f"{distance} {_number(row.distance, '.3f')}",
                "pictures": list(_shown(words, row)),
            }
            for row in rows
        ]
        if shown:
            yield {"title": title, "rows": shown}


def _shown(words: str, row: Row) -> Iterator[dict[str, Any]]:
    """The pictures of a row in reading order, embedded; the input carries the attention map."""
    wanted: dict[str, Pixels | None] = {"Input": row.real}
    made = "Sample" if row.real is None else "Translation"
    wanted |= {f"{made}, {key}": row.fakes[key] for key in CHECKPOINTS if key in row.fakes}
    wanted |= {"There and back": row.cycle, "Truth": row.truth}
    wanted |= {f"{made}, {name}": pixels for name, pixels in row.others.items()}
    for label, pixels in wanted.items():
        if pixels is not None:
            where = f"{label} of {row.name!r} ({words})"
            overlay = None
            if label == "Input" and row.attention is not None:
                overlay = _data_uri(row.attention, f"Attention on {where}")
            yield {
                "label": label,
                "uri": _data_uri(pixels, where),
                "overlay": overlay,
                "small": len(pixels) <= LARGEST_PNG,
            }


def _data_uri(pixels: Pixels, where: str) -> str:
    require_pixels(where, np.asarray(pixels)[None], None)
    small = max(pixels.shape) <= LARGEST_PNG
    kind, settings = ("png", {"optimize": True}) if small else ("webp", {"quality": WEBP_QUALITY})
    file = io.BytesIO()
    Image.fromarray(shown(pixels)).save(file, kind, **settings)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
