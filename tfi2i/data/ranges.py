"""Numbers in pictures' files that become black and white: `data.value_range`, and where it lacks.

Files of 16 bits or of floating-point numbers often fill a small part of their range (sensors of 10,
12 and 14 bits, depth in millimetres) or leave it (Hounsfield units).
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from tfi2i.conditions import ANY
from tfi2i.data.domains import Domain, PictureDomain
from tfi2i.errors import InputError
from tfi2i.limits import Between, shown
from tfi2i.pictures.depth import OutOfRange, Range, Values
from tfi2i.pictures.formats import counted

POSSIBLE = Between(-(10**12), 10**12, own=True)
ValueRange = Annotated[Literal["auto"] | tuple[float, float] | dict[str, Any], POSSIBLE] | None
"""Two numbers, "auto", {percentiles: [low, high]}, or one of them a domain: {a: ..., b: ...}."""

SAMPLED = 4_000_000  # numbers of a domain that percentiles are taken of
LOOKED_AT = 200  # deep pictures of a domain whose numbers are compared with their range
HEADERS = 5_000
FILLED = 0.5  # least share of their range that the numbers of a domain span without a remark

log = logging.getLogger("tfi2i")


def wishes(given: ValueRange, domains: Sequence[str] = ("a", "b")) -> dict[str, Any]:
    """The wishes for each domain: a pair, "auto", a mapping of percentiles or None.

    Raises:
        InputError: It is none of these.
    """
    parts: dict[str, Any] = dict.fromkeys(domains, given)
    single = True
    if isinstance(given, Mapping) and "percentiles" not in given:
        parts, single = dict.fromkeys(domains) | dict(given), False
    for key, wish in parts.items():
        if key not in domains or not _is_wish(wish):
            got = given if key not in domains or single else f"{wish} for {key}"
            raise InputError(
                f"data.value_range is {got}; give two rising numbers, auto, {{percentiles: "
                f"[1, 99]}}, or one of them a domain, {{{': ..., '.join(domains[:2])}: ...}}."
            )
    return parts


def _is_wish(wish: Any) -> bool:
    if wish is None or wish == "auto":
        return True
    if isinstance(wish, Mapping):
        inside: Any = wish.get("percentiles")
        return len(wish) == 1 and _is_pair(inside) and inside[0] >= 0 and inside[1] <= 100
    return _is_pair(wish)


def _is_pair(value: Any) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return False
    plain = all(isinstance(one, int | float) and not isinstance(one, bool) for one in value)
    return plain and all(one in POSSIBLE for one in value) and value[0] < value[1]


def settle(train: PictureDomain, others: list[PictureDomain], wish: Any) -> Range | None:
    """Gives domains the range that is wanted, which is found on the first; returns it.

    Raises:
        InputError: No picture can be read, or all its numbers are the same.
    """
    if wish is None:
        return None
    if wish == "auto" or isinstance(wish, Mapping):
        chosen = _found(train, wish)
        log.info("%s: the values %g to %g become black to white", train.where, *chosen)
    else:
        chosen = float(wish[0]), float(wish[1])
    for domain in (train, *others):
        domain.value_range = chosen
    return chosen


def settled(settings: Mapping[str, Any], domain: str | None, where: str) -> Range | None:
    """The range of a domain that the data settings of a run name; None: pixels.

    Args:
        settings: Settings of the section "data", after training.
        domain: Name of the domain, by which each may have its own.
        where: File of the settings, for messages.

    Raises:
        InputError: They name no range, but how to find one.
    """
    kept = settings.get("value_range")
    if isinstance(kept, dict) and "percentiles" not in kept:
        kept = _of_domain(kept, settings, str(domain))
    if kept is None:
        return None
    if not _is_pair(kept):
        raise InputError(
            f"{where}: data.value_range is {shown(kept)}, which no training has settled; give two"
            " numbers."
        )
    low, high = kept
    return float(low), float(high)


def _of_domain(kept: Mapping[str, Any], settings: Mapping[str, Any], domain: str) -> Any:
    """The range of a domain, which a system of two may call a or b whatever the data's name."""
    pair: Sequence[str] = ("a", "b")
    for key in ("domains", "names"):
        named = settings.get(key)
        if isinstance(named, list | tuple) and len(named) == 2:
            pair = named
    if settings.get("swap"):
        pair = pair[::-1]
    own = dict(zip("ab", pair, strict=True)).get(domain, domain)
    if own == ANY and len({str(one) for one in kept.values()}) == 1:
        return next(iter(kept.values()))
    return kept.get(own)


def _found(domain: PictureDomain, wish: Any) -> Range:
    log.info("%s: reading the values of its %d pictures", domain.where, len(domain))
    most = max(64, SAMPLED // max(len(domain), 1))
    lows, highs, samples = [], [], []
    for values in _values(domain, range(len(domain))):
        low, high = values.found
        lows.append(low)
        highs.append(high)
        if wish != "auto":
            flat = values.array.reshape(-1)
            samples.append(flat[:: max(1, flat.size // most)].astype(np.float64))
    if not lows:
        raise domain.unusable()
    low, high = min(lows), max(highs)
    if wish != "auto":
        low, high = map(float, np.percentile(np.concatenate(samples), wish["percentiles"]))
    if not low < high:
        raise InputError(
            f"{domain.where}: data.value_range {_text(wish)} finds the one value {low:g}; give two "
            "numbers."
        )
    return low, high


def _values(domain: PictureDomain, indices: Iterable[int]) -> Iterator[Values]:
    """The numbers in those pictures that can be read; the others are left out."""
    for index in indices:
        try:
            yield domain.values(index)
        except InputError as error:
            domain.leave_out(index, str(error))


def _text(wish: Any) -> str:
    return "auto" if wish == "auto" else f"{{percentiles: {[*wish['percentiles']]}}}"


@dataclass
class Survey:
    """Facts of a domain's files that decide how they are read.

    Attributes:
        looked_at: Pictures whose headers were read.
        deep: Pictures of more than 8 bits among them.
        animated: Pictures of several frames.
        found: Smallest and largest number in deep pictures; None: there is none.
        full: Range that these can fill; None where they leave it.
    """

    looked_at: int = 0
    deep: int = 0
    animated: int = 0
    found: Range | None = None
    full: Range | None = None


def survey(domain: Domain) -> Survey:
    """The facts of a domain; of one that is drawn, none."""
    facts, channels, domain = Survey(), domain.channels, domain.original
    if not isinstance(domain, PictureDomain):
        return facts
    deep: list[int] = []
    for index in _spaced(range(len(domain)), HEADERS):
        header = domain.header(index, channels)
        if header is not None:
            facts.looked_at += 1
            facts.animated += header.frames > 1
            deep += [index] if header.deep else []
    facts.deep = len(deep)
    if domain.value_range is not None:
        return facts
    fulls: list[Range | None] = []
    for values in _values(domain, _spaced(deep, LOOKED_AT)):
        low, high = values.found
        before = facts.found or (low, high)
        facts.found = min(low, before[0]), max(high, before[1])
        fulls.append(values.full)
    if fulls and None not in fulls:
        facts.full = max(full for full in fulls if full)
    return facts


def _spaced(indices: Any, most: int) -> list[int]:
    """At most so many of the indices, evenly spaced."""
    chosen = np.linspace(0, len(indices) - 1, min(most, len(indices))).round().astype(int)
    return [int(indices[place]) for place in chosen]


class Remarks(NamedTuple):
    """Sentences on the files of a data set: faults, and how they are read."""

    faults: list[str]
    notes: list[str]


def remarks(train: Mapping[str, Domain], others: Iterable[Domain]) -> Remarks:
    """The remarks on the domains to train on, and on those of other splits.

    Raises:
        OutOfRange: Most pictures of a domain hold numbers that are no colours.
    """
    said = Remarks([], [])
    for domain, trained in [(one, True) for one in train.values()] + [(o, False) for o in others]:
        facts = survey(domain)
        require_range(domain, facts)
        if trained and (fault := unfilled(domain, facts)):
            said.faults.append(fault)
        if facts.animated:
            said.notes.append(
                f"{domain.where}: {facts.animated} of its pictures have several frames or pages, "
                "of which the first is read."
            )
        if isinstance(domain.original, PictureDomain) and domain.original.passed_over:
            kinds = counted(domain.original.passed_over)
            said.notes.append(f"{domain.where}: passed over {kinds}.")
    return Remarks(said.faults, list(dict.fromkeys(said.notes)))


def require_range(domain: Domain, facts: Survey) -> None:
    """Raises `OutOfRange` for a domain most of whose pictures hold numbers that are no colours."""
    if facts.found is None or facts.full is not None or 2 * facts.deep <= facts.looked_at:
        return
    low, high = facts.found
    raise OutOfRange(
        f"{domain.where} holds values from {low:g} to {high:g}, which are no colours; set "
        f"data.value_range to auto or to {_suggested(low, high)}.",
        facts.found,
    )


def unfilled(domain: Domain, facts: Survey) -> str | None:
    """The remark on a domain whose numbers use a small part of their range, or None."""
    if facts.found is None or facts.full is None:
        return None
    (low, high), (first, last) = facts.found, facts.full
    if high - low >= FILLED * (last - first):
        return None
    look = "too dark" if high < first + FILLED * (last - first) else "without contrast"
    return (
        f"{domain.where}: its {facts.deep} pictures of more than 8 bits hold values from {low:g} "
        f"to {high:g} of {first:g} to {last:g}, so they are {look}; set data.value_range to auto "
        f"or to {_suggested(low, high)}."
    )


def _suggested(low: float, high: float) -> str:
    for bits in (10, 12, 14):
        if low >= 0 and 255 < high < 2**bits and low == int(low) and high == int(high):
            return f"[0, {2**bits - 1}]"
    return f"[{low:g}, {high:g}]"
