"""Contents of a data set and what is wrong with it, before hours of training are spent on it."""

import hashlib
import statistics
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tfi2i.data.dataset import Dataset
from tfi2i.data.domains import Domain, InChannels, PictureDomain, Pixels
from tfi2i.errors import InputError
from tfi2i.pictures.depth import OutOfRange
from tfi2i.terminal import printable

SHOWN = 6
"""How many lines of a kind the text shows: it has to fit a screen."""

LABELS = 8
"""How many labels' shares it shows."""
RARE = 10
"""How many times another label's pictures make a label rare."""

_USES = {"train": "train", "test": "test", "validation": "validate"}

Place = tuple[str, str]


@dataclass
class SetReport:
    """Contents of a split of a domain.

    Attributes:
        title: "train a" and so on.
        where: Folder or split.
        count: Pictures, readable or not.
        widths: Widths of the readable ones, in pixels.
        heights: Heights of the readable ones, in pixels.
        modes: Number of pictures by Pillow's name of their kind ("RGB", "L", "P", "I;16" ...).
        unreadable: (name, reason) of each that cannot be read.
        beyond: Number of those whose numbers are no colours.
    """

    title: str
    where: str
    count: int
    widths: list[int] = field(default_factory=list)
    heights: list[int] = field(default_factory=list)
    modes: Counter[str] = field(default_factory=Counter)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    beyond: int = 0


@dataclass
class Report:
    """The sets, and which pictures occur more than once.

    Attributes:
        name: Data set's.
        sets: Sets of training, then of the test and of validation, domain by domain.
        duplicates: Groups of (set's title, picture's name) with exactly the same pixels.
        problems: One sentence each; empty if the data can be trained and tested on as it is.
        notes: Remarks that are no reason to stop.
        facts: Lines on pairs, domains and labels.
    """

    name: str
    sets: list[SetReport]
    duplicates: list[list[Place]]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    def refuse(self, reason: str) -> None:
        """Puts the reason why these pictures cannot be trained on before all other problems."""
        self.problems.insert(0, f"Training refuses this: {printable(reason)}")

    def text(self) -> str:
        """A table of the sets, then pairs and labels, problems and notes: one screen."""
        rows: list[tuple[str, ...]]
        rows = [("", "pictures", "unreadable", "smallest", "median", "largest", "modes")]
        for found in self.sets:
            modes = ", ".join(f"{mode} {count}" for mode, count in found.modes.most_common(4))
            counts = str(found.count), str(len(found.unreadable))
            rows.append((found.title, *counts, *_sizes(found), modes or "-"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"Data: {printable(self.name)}"]
        lines += ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        lines += self.facts
        for title, sentences in (("Problems", self.problems), ("Notes", self.notes)):
            if sentences:
                lines.append(f"{title} ({len(sentences)}):")
                lines += [f"  {sentence}" for sentence in sentences[:SHOWN]]
            if len(sentences) > SHOWN:
                lines.append(f"  ... and {len(sentences) - SHOWN} more")
        return "\n".join(lines if self.problems else [*lines, "No problems found."])


def check(data: Dataset, progress: Callable[[int, int], None] | None = None) -> Report:
    """Reads every picture of a data set and reports sizes, damage and duplicates.

    A picture that training and test share is a problem, as is one in both domains: the first makes
    the test meaningless, the second cannot be translated. Repetition within a set is a note.

    Args:
        data: Dataset of any source.
        progress: Function that is called with (pictures done, pictures in all) after each.
    """
    sides = [
        (f"{split} {printable(key)}", domain)
        for split, domains in data.splits().items()
        for key, domain in domains.items()
        if split != "validation"
        or isinstance(domain, PictureDomain | InChannels)  # else it is drawn
    ]
    report = Report(data.name, [SetReport(title, one.where, len(one)) for title, one in sides], [])
    places: dict[bytes, list[Place]] = {}
    total, done = sum(found.count for found in report.sets), 0
    for (title, domain), found in zip(sides, report.sets, strict=True):
        for index, name in enumerate(domain.names):
            if (pixels := _read(domain, index, found)) is not None:
                identity = hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).digest()
                places.setdefault(identity, []).append((title, name))
            done += 1
            if progress:
                progress(done, total)
    report.duplicates += [group for group in places.values() if len(group) > 1]
    _judge(report, data)
    _weigh(report, data)
    return report


def _read(domain: Domain, index: int, found: SetReport) -> Pixels | None:
    """The pixels of a picture after its facts went into the report; None if it is unreadable."""
    try:
        picture = domain.picture(index)
    except InputError as error:
        found.beyond += isinstance(error, OutOfRange)
        found.unreadable.append((domain.names[index], str(error)))
        return None
    found.heights.append(picture.pixels.shape[0])
    found.widths.append(picture.pixels.shape[1])
    found.modes[picture.mode] += 1
    return picture.pixels


def _judge(report: Report, data: Dataset) -> None:
    """Fills problems and notes; what makes training or testing useless first."""
    report.problems += [
        f"{found.title}: no picture of {printable(found.where)} can be read."
        for found in report.sets
        if len(found.unreadable) == found.count and not 2 * found.beyond > found.count
    ]
    for group in report.duplicates:
        shown = ", ".join(f"{printable(name)} ({title})" for title, name in group[:3])
        shown += f" and {len(group) - 3} more" if len(group) > 3 else ""
        splits, domains = map(set, zip(*(title.split(" ", 1) for title, _ in group), strict=True))
        if len(splits) > 1:
            uses = " and to ".join(verb for split, verb in _USES.items() if split in splits)
            report.problems.append(f"The same picture to {uses} on: {shown}.")
        elif len(domains) > 1:
            several = report.notes if splits <= data.paired else report.problems
            which = "both" if len(data.train) == 2 else "several"
            several.append(f"The same picture in {which} domains: {shown}.")
        else:
            report.notes.append(f"The same picture more than once: {shown}.")
    report.problems += [
        f"{found.title}: unreadable, training skips it: {printable(reason)}"
        for found in report.sets
        if 2 * found.beyond <= found.count  # else one sentence says it of the whole
        for _, reason in found.unreadable
    ]


def _weigh(report: Report, data: Dataset) -> None:
    """Adds counts of pairs, and how many pictures of training each domain or label has."""
    paired = [split for split in data.splits() if split in data.paired]
    for split in paired:
        whole = [found for found in report.sets if found.title.startswith(f"{split} ")]
        lost = {name for found in whole for name, _ in found.unreadable}
        if lost and len(whole) == 2:
            report.notes.append(
                f"{split}: of a pair with an unreadable picture the partner is left out too."
            )
    if paired:
        counts = (
            f"{len(next(iter(data.splits()[one].values()))):,} to {_USES[one]} on" for one in paired
        )
        report.facts.append(f"Pairs: {', '.join(counts)}.")
    labels = data.labels("train")
    if labels is None or (data.attributes is None and len(data.train) == 2):
        return
    what = "Domains" if data.attributes is None else "Labels"
    held = dict(zip(map(printable, data.label_names), labels.sum(0), strict=True))
    shares = [f"{name} {100 * count / len(labels):.0f} %" for name, count in held.items()]
    more = f" and {len(shares) - LABELS} more" if len(shares) > LABELS else ""
    report.facts.append(f"{what} of training: {', '.join(shares[:LABELS])}{more}.")
    report.problems += [
        f"Training has no picture {without} {name}, so that nothing of it can be learned."
        for without, least in (("with", 0), ("without", len(labels)))
        for name, count in held.items()
        if count == least
    ]
    rarest, most = min(held, key=held.__getitem__), max(held, key=held.__getitem__)
    if 0 < RARE * held[rarest] < held[most]:
        report.notes.append(
            f"Training sees {most} {held[most] / held[rarest]:.0f} times as often as {rarest}."
        )


def _sizes(found: SetReport) -> list[str]:
    """Smallest, median and largest width x height."""
    if not found.widths:
        return ["-"] * 3
    both = (found.widths, found.heights)
    return [
        "x".join(str(int(of(values))) for values in both) for of in (min, statistics.median, max)
    ]
