"""Curves of a training as SVG text for a page: one panel a call, same input, same text.

Words and axes take the page's text colour (`currentColor`) and the curves are legible on light and
dark grounds, so that a chart follows the page's theme. Drawing imports Matplotlib, nothing before.
"""

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#010203"  # stands for the page's text colour until the SVG is written
BLUE, ORANGE, GREEN, VIOLET = "#3d85d8", "#dd7a26", "#2f9e6e", "#9b6bd0"
MOST_POINTS = 400

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, searchable and in the page's font
    "svg.hashsalt": "tfi2i",  # ids are random without it
    "text.parse_math": False,  # a name may have dollar signs
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
"""The settings of Matplotlib for every chart of this project."""

_IN_A_PAGE = STYLE | {
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    **{key: INK for key in ("text.color", "axes.edgecolor", "axes.labelcolor")},
    **{key: INK for key in ("xtick.color", "ytick.color", "grid.color")},
}


def kid_chart(
    name: str,
    steps: Sequence[int],
    kids: Sequence[float],
    references: Mapping[str, float],
    best_step: int | None = None,
) -> str:
    """KID x 1000 over steps, a marker an evaluation, with level lines to compare with.

    The scale is logarithmic above 1 and linear below it, as KID may be negative.

    Args:
        name: Letters and hyphens; makes the chart's ids differ from other charts' of the page.
        steps: Steps of the evaluations.
        kids: One a step, not yet times 1000.
        references: KID by what it belongs to, at most three.
        best_step: Step of the best checkpoint, marked by an upright line.
    """
    import matplotlib
    from matplotlib.ticker import NullLocator, SymmetricalLogLocator

    with matplotlib.rc_context(_IN_A_PAGE):
        figure, axes = _panel(width=5.0, height=3.1)
        values = 1000 * np.asarray(kids, float)
        axes.plot(steps, values, "-o", color=BLUE, lw=1.6, ms=4, label="translations")
        lines = zip(references.items(), (GREEN, VIOLET, VIOLET), ("--", "--", ":"), strict=False)
        for (label, level), colour, style in lines:
            axes.axhline(1000 * level, color=colour, ls=style, lw=1.3, label=label)
        if best_step is not None:
            label = f"best checkpoint, step {best_step}"
            axes.axvline(best_step, color=ORANGE, lw=1.3, label=label)
        shown = [*values, *(1000 * level for level in references.values())]
        axes.set_yscale("symlog", linthresh=1, linscale=0.6)
        axes.set_ylim(min(0, 1.5 * min(shown)), 1.5 * max(1, *shown))
        axes.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1, subs=[1, 2, 5]))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("step")
        axes.set_ylabel("KID × 1000")
        figure.legend(loc="outside lower left", ncols=2, frameon=False, handlelength=1.6)
        return _svg(figure, name)


def loss_chart(name: str, steps: Sequence[int], losses: Sequence[float | None]) -> str:
    """One loss over steps, small; None leaves a gap, and long trainings show means of neighbours.

    Args:
        name: Letters and hyphens; makes the chart's ids differ from other charts' of the page.
        steps: Steps of the reports.
        losses: One a step.
    """
    import matplotlib

    with matplotlib.rc_context(_IN_A_PAGE):
        figure, axes = _panel(width=2.3, height=1.4)
        axes.plot(_thinned(steps), _thinned(losses), color=BLUE, lw=1.3)
        axes.locator_params(nbins=3)
        return _svg(figure, name)


def _panel(width: float, height: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(axis="y", alpha=0.18, lw=0.6)
    axes.xaxis.set_major_formatter(
        lambda step, _: f"{step / 1000:g}k" if abs(step) >= 10_000 else f"{step:g}"
    )
    return figure, axes


def _thinned(numbers: Sequence[float | None]) -> list[np.floating]:
    """At most MOST_POINTS means of as many neighbours each; None among them leaves a gap."""
    values = np.array(numbers, float)
    block = -(-len(values) // MOST_POINTS) or 1
    return [values[i : i + block].mean() for i in range(0, len(values), block)]


def _svg(figure: "Figure", name: str) -> str:
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue().replace(INK, "currentColor")
    return re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", text[text.index("<svg") :])
