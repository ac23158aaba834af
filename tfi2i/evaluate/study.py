"""Which method people prefer: the page that asks them, and what their votes say.

As in the user study of the NICE-GAN paper, a participant sees an input and its translations by
several methods, shuffled and without names, has unlimited time and picks the best one. Letters:
N questions, H rows, W columns, k methods.
"""

import base64
import hashlib
import json
import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfi2i.errors import InputError
from tfi2i.evaluate.pages import rendered
from tfi2i.files import sync, write_text
from tfi2i.pictures.files import write_picture
from tfi2i.pictures.pixels import require_pixels

Pixels = NDArray[np.uint8]
Methods = Sequence[tuple[str, Pixels]]

SCHEMA = 1  # of the votes files, which templates/study.js writes
MAX_METHODS = 9  # a choice is one digit key
MAX_NAME = 200  # characters of the name of a method or picture
MAX_BYTES = 16 * 2**20  # of a votes file; thousands of questions take a megabyte or two


class Votes(NamedTuple):
    """The votes of one study.

    Attributes:
        study: Study's id.
        methods: Their names, in the order given to `make_study`.
        chosen: Method's name by participant id, then by question (the picture's name).
        notes: Sentences on what was left out.
    """

    study: str
    methods: tuple[str, ...]
    chosen: Mapping[str, Mapping[str, str]]
    notes: tuple[str, ...]


class Preference(NamedTuple):
    """Votes for a method: `wins` of `n`, and the Wilson score interval of their share.

    `level` is the interval's confidence, and `p_value` that of the exact two-sided binomial test
    against 1/2, where there are two methods.
    """

    name: str
    wins: int
    n: int
    share: float
    low: float
    high: float
    level: float
    p_value: float | None


class _Ballot(NamedTuple):
    """One votes file, checked."""

    path: Path
    study: str
    methods: tuple[str, ...]
    participant: str
    finished: datetime
    chosen: dict[str, str]


def make_study(
    methods: Methods,
    inputs: Pixels,
    names: Sequence[str],
    out: Path,
    *,
    question: str,
    title: str,
    seed: int = 0,
) -> Path:
    """A folder with the page and the pictures of a study; returns the page's path, out/index.html.

    It needs no server: a participant opens the page from disk or from any web space and sends back
    the votes file it offers at the end.

    Args:
        methods: Two to nine of (name, translations (N, H, W, 3)), in the order of `inputs`.
        inputs: (N, H, W, 3).
        names: N pictures' names in the votes; participants do not see them.
        out: New or empty folder.
        question: Question on every screen.
        title: Page's heading.
        seed: Seed of the numbers that name picture files. Orders are drawn by participant.

    Raises:
        InputError: pictures or names that do not fit each other, or a folder with files in it.
    """
    words = {"question": question, "title": title}
    _check_study(methods, inputs, names, **words)
    pictures = [inputs, *(pixels for _, pixels in methods)]
    # The numbers tell nothing, nor do the files' times: they are written in the numbers' order.
    numbers = np.random.default_rng(seed).permutation(len(pictures) * len(inputs))
    width = len(str(numbers.size))
    files = [f"pictures/{number + 1:0{width}}.png" for number in numbers]
    page = _page(methods, inputs, names, files, **words)
    out = Path(out).resolve()
    try:
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise InputError(f"{out} is there already and is no empty folder; name a new folder.")
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.tmp.", dir=out.parent) as temporary:
            made = Path(temporary, "study")
            (made / "pictures").mkdir(parents=True)
            for place in np.argsort(numbers):
                source, i = divmod(int(place), len(inputs))
                write_picture(made / files[place], pictures[source][i])
            write_text(made / "index.html", page)
            if out.is_dir():
                out.rmdir()
            made.rename(out)
        sync(out.parent)
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror or error}).") from error
    return out / "index.html"


def read_votes(paths: Sequence[Path]) -> Votes:
    """The votes of all participants of one study, from the files the page gave them.

    Of several files of one participant the one finished last counts; a note says so.

    Raises:
        InputError: a file that is no votes file, is damaged, or belongs to another study.
    """
    if not paths:
        raise InputError("There are no votes files; name at least one.")
    ballots = [_read_ballot(Path(path)) for path in paths]
    first = ballots[0]
    kept: dict[str, _Ballot] = {}
    notes = []
    for ballot in ballots:
        if ballot.study != first.study:
            raise InputError(
                f"{ballot.path} is of the study {ballot.study} and {first.path} of {first.study}; "
                "give votes of one study."
            )
        if ballot.methods != first.methods or ballot.chosen.keys() != first.chosen.keys():
            raise InputError(
                f"{ballot.path} has other methods or questions than {first.path}, though both are "
                "of one study; leave out the one that was changed."
            )
        other = kept.setdefault(ballot.participant, ballot)
        if other is not ballot:
            early, late = sorted((other, ballot), key=lambda one: one.finished)
            kept[ballot.participant] = late
            notes.append(
                f"{early.path} and {late.path} are of one participant ({ballot.participant}); "
                f"{late.path} was finished last and counts."
            )
    chosen = {participant: ballot.chosen for participant, ballot in kept.items()}
    return Votes(first.study, first.methods, chosen, tuple(notes))


def preferences(votes: Votes, *, level: float = 0.95) -> list[Preference]:
    """Counts how often each method was chosen, the most often chosen first.

    Source: Wilson (1927), the score interval without continuity correction.

    Args:
        votes: Votes, each of which counts as independent of the others.
        level: Intervals' confidence, between 0 and 1.

    Raises:
        InputError: a level out of range.
    """
    from scipy.stats import binomtest  # takes a second, and making a study needs none of it

    if not 0 < level < 1:
        raise InputError(f"level is {level}; choose one between 0 and 1, such as 0.95.")
    wins = Counter(method for one in votes.chosen.values() for method in one.values())
    n = wins.total()
    found = []
    for name in sorted(votes.methods, key=wins.__getitem__, reverse=True):
        test = binomtest(wins[name], n)
        low, high = map(float, test.proportion_ci(level, "wilson"))
        p_value = float(test.pvalue) if len(votes.methods) == 2 else None
        found.append(Preference(name, wins[name], n, wins[name] / n, low, high, level, p_value))
    return found


def results_text(votes: Votes, preferences: Sequence[Preference]) -> str:
    """The preferences as a table, and in words what they are worth."""
    rows = [("method", "votes", "share", f"{100 * preferences[0].level:g} % interval")]
    for one in preferences:
        interval = f"{_percent(one.low)} to {_percent(one.high)}"
        rows.append((one.name, str(one.wins), _percent(one.share), interval))
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    participants, questions = len(votes.chosen), len(next(iter(votes.chosen.values())))
    lines = [
        *("  ".join([row[0].ljust(first), *map(str.rjust, row[1:], others)]) for row in rows),
        "",
        f"{_counted(participants, 'participant')}, {_counted(questions, 'question')} each: "
        f"{_counted(preferences[0].n, 'vote')}. {_verdict(preferences)}",
        "Votes are counted as independent; those of one participant or on one picture are often "
        "alike, and then the true intervals are wider.",
        *votes.notes,
    ]
    return "\n".join(lines)


def _check_study(methods: Methods, inputs: Pixels, names: Sequence[str], **words: str) -> None:
    if not 2 <= len(methods) <= MAX_METHODS:
        raise InputError(
            f"A study compares 2 to {MAX_METHODS} methods, not {len(methods)}; name as many."
        )
    called = [name for name, _ in methods]
    for name in called:
        if not _is_method_name(name):
            raise InputError(
                f"A method is called {name!r}; give a name of 1 to {MAX_NAME} printable characters."
            )
    if repeated := _repeated(called):
        raise InputError(f"Two methods are called {repeated!r}; give each a name of its own.")
    require_pixels("inputs", inputs)
    for name, pixels in methods:
        if pixels.shape != inputs.shape or pixels.dtype != np.uint8:
            raise InputError(
                f"The pictures of {name!r} are {pixels.dtype} {pixels.shape} and the inputs uint8 "
                f"{inputs.shape}; give as many of the same size."
            )
    if len(names) != len(inputs) or not all(map(_is_picture_name, names)):
        raise InputError(
            f"There are {len(names)} names for {len(inputs)} pictures; give each one, of 1 to "
            f"{MAX_NAME} characters."
        )
    if repeated := _repeated(names):
        raise InputError(f"Two pictures are called {repeated!r}; give each a name of its own.")
    for what, text in words.items():
        # Bytes of a command line that are no UTF-8 arrive as surrogates, which no file can hold.
        if not text.strip() or text.encode("utf-8", "ignore").decode() != text:
            raise InputError(f"The {what} is {text!r}; give some words, in valid Unicode.")


def _repeated(names: Sequence[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)


def _is_picture_name(name: Any) -> bool:
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME


def _is_method_name(name: Any) -> bool:
    """Whether it can be printed: a stranger's file must not write to a terminal what it likes."""
    return _is_picture_name(name) and name.isprintable() and not name.isspace()


def _page(
    methods: Methods, inputs: Pixels, names: Sequence[str], files: Sequence[str], **words: str
) -> str:
    """The page; `files` are those of the inputs, then of each method."""
    digest = hashlib.sha256(json.dumps([words["title"], words["question"], list(names)]).encode())
    for name, pixels in (("", inputs), *methods):
        digest.update(json.dumps([name, pixels.shape]).encode() + pixels.tobytes())
    pictures = np.array(files).reshape(-1, len(inputs)).T.tolist()
    study = {
        "schema": SCHEMA,
        "id": digest.hexdigest()[:16],
        "title": words["title"],
        "height": inputs.shape[1],
        "width": inputs.shape[2],
        # This blinds participants who glance at the source, not experts who look for it.
        "methods": [base64.b64encode(name.encode()).decode() for name, _ in methods],
        "questions": [
            {"name": name, "input": first, "choices": choices}
            for name, (first, *choices) in zip(names, pictures, strict=True)
        ],
    }
    return rendered("study.html", study=study, **words)


def _read_ballot(path: Path) -> _Ballot:
    values = _read_json(path)
    if not isinstance(values, dict) or "study" not in values or "votes" not in values:
        raise InputError(f"{path} is no votes file; give files which the study's page saved.")
    if values.get("schema") != SCHEMA:
        raise InputError(
            f"{path} has the schema {values.get('schema')!r:.40}; this version reads {SCHEMA}."
        )
    _check_ballot(path, values)
    return _Ballot(
        path,
        values["study"],
        tuple(values["methods"]),
        values["participant"],
        datetime.fromisoformat(values["finished"]),
        {vote["question"]: vote["chosen"] for vote in values["votes"]},
    )


def _check_ballot(path: Path, values: Any) -> None:
    def need(holds: Any, fault: str) -> None:
        if not holds:
            raise InputError(f"{path} is damaged: {fault}; ask for the file again.")

    for key in ("study", "participant"):
        text = values.get(key)
        need(isinstance(text, str) and re.fullmatch("[0-9a-f]{16}", text), f"{key} is no id")
    try:
        zone = datetime.fromisoformat(values.get("finished")).tzinfo
    except (TypeError, ValueError):
        zone = None
    need(zone, "finished is no time with a time zone")
    methods, votes = values.get("methods"), values["votes"]
    need(isinstance(methods, list) and all(map(_is_method_name, methods)), "methods are no names")
    different = 2 <= len(set(methods)) == len(methods) <= MAX_METHODS
    need(different, f"methods are not 2 to {MAX_METHODS} different names")
    enough = isinstance(votes, list) and votes and values.get("questions") == len(votes)
    need(enough, "there are not as many votes as questions")
    for i, vote in enumerate(votes, 1):
        placed = isinstance(vote, dict) and _is_picture_name(vote.get("question"))
        need(placed, f"vote {i} is on no picture")
        shown = vote.get("shown")
        every = isinstance(shown, list) and sorted(map(str, shown)) == sorted(methods)
        need(every, f"vote {i} did not show every method")
        need(vote.get("chosen") in methods, f"vote {i} is for no method of the study")
    repeated = _repeated([vote["question"] for vote in votes])
    need(repeated is None, f"two votes are on {repeated!r}")


def _read_json(path: Path) -> Any:
    try:
        if not path.is_file():
            raise InputError(f"There is no votes file {path}; check the path.")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is larger than {MAX_BYTES // 2**20} MB; no votes file is.")
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror or error}); check its permissions."
        ) from error
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, too deep, too long a number
        raise InputError(f"{path} is no JSON; give files which the study's page saved.") from error


def _verdict(preferences: Sequence[Preference]) -> str:
    """Whether the differences can be chance, in a sentence."""
    first = preferences[0]
    if first.p_value is not None:
        p = f"p = {first.p_value:.2g}" if first.p_value >= 1e-4 else "p < 0.0001"
        test = f"{p}, exact two-sided binomial test against 1/2"
        if first.p_value < 1 - first.level:
            return f"{first.name} is preferred, and that is hardly chance ({test})."
        return f"The difference can be chance ({test})."
    chance = 1 / len(preferences)
    above = [one.name for one in preferences if one.low > chance]
    below = [one.name for one in preferences if one.high < chance]
    said = [
        f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} chosen {more} often"
        for names, more in ((above, "more"), (below, "less"))
        if names
    ]
    expected = f"the {_percent(chance)} that {len(preferences)} methods liked alike would have"
    if not said:
        return f"The differences can be chance: no interval leaves out {expected}."
    return f"{' and '.join(said)} than {expected}, judging each interval by itself."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
