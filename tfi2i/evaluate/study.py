"""Which method people prefer: the page that asks them, and what their votes say.

As in the user study of the NICE-GAN paper, a participant sees an input and its translations by
several methods, shuffled and without names, has unlimited time and picks the best one. Letters:
N questions, H rows, W columns, k methods.
"""

import base64
import hashlib
import json
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfi2i.errors import InputError
from tfi2i.files import sync, write_text
from tfi2i.pictures.files import write_picture
from tfi2i.pictures.pixels import require_pixels

Pixels = NDArray[np.uint8]

SCHEMA = 1
"""The number of the votes files' format, written by templates/study.js."""
MAX_METHODS = 9
"""A choice is one digit key."""
MAX_NAME = 200
"""The longest name of a method or picture, in characters."""
MAX_BYTES = 16 * 2**20
"""The largest votes file that is read: thousands of questions take a megabyte or two."""

_ID = re.compile("[0-9a-f]{16}")


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
    """Number of times that a method was chosen.

    Attributes:
        name: Method's.
        wins: Votes for it.
        n: Number of votes.
        share: Wins / n.
        low: Lower end of the share's Wilson score interval.
        high: Upper end of the interval.
        level: Interval's confidence, 0..1.
        p_value: P value of the exact two-sided binomial test against 1/2; None unless there are two
            methods.
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
    methods: Sequence[tuple[str, Pixels]],
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
    _check_study(methods, inputs, names, {"question": question, "title": title})
    pictures = [inputs, *(pixels for _, pixels in methods)]
    # The numbers tell nothing, nor do the files' times: they are written in the numbers' order.
    numbers = np.random.default_rng(seed).permutation(len(pictures) * len(inputs))
    width = len(str(numbers.size))
    files = [f"pictures/{number + 1:0{width}}.png" for number in numbers]
    page = _page(methods, inputs, names, files, question, title)
    out = Path(out).resolve()
    temporary = out.with_name(f".{out.name}.tmp.{secrets.token_hex(4)}")
    try:
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise InputError(f"{out} is there already and is no empty folder; name a new folder.")
        (temporary / "pictures").mkdir(parents=True)
        for place in np.argsort(numbers):
            source, i = divmod(int(place), len(inputs))
            write_picture(temporary / files[place], pictures[source][i])
        write_text(temporary / "index.html", page)
        if out.is_dir():
            out.rmdir()
        temporary.rename(out)
        sync(out.parent)
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
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
            late, early = (ballot, other) if ballot.finished >= other.finished else (other, ballot)
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
        low, high = test.proportion_ci(level, "wilson")
        p_value = float(test.pvalue) if len(votes.methods) == 2 else None
        share = wins[name] / n
        found.append(
            Preference(name, wins[name], n, share, float(low), float(high), level, p_value)
        )
    return found


def results_text(votes: Votes, preferences: Sequence[Preference]) -> str:
    """The preferences as a table, and in words what they are worth."""
    rows = [("method", "votes", "share", f"{100 * preferences[0].level:g} % interval")]
    for one in preferences:
        interval = f"{_percent(one.low)} to {_percent(one.high)}"
        rows.append((one.name, str(one.wins), _percent(one.share), interval))
    columns = list(zip(*rows, strict=True))
    for i, column in enumerate(columns):
        width = max(map(len, column))
        columns[i] = tuple(cell.rjust(width) if i else cell.ljust(width) for cell in column)
    participants, questions = len(votes.chosen), len(next(iter(votes.chosen.values())))
    lines = [
        *("  ".join(row) for row in zip(*columns, strict=True)),
        "",
        f"{_counted(participants, 'participant')}, {_counted(questions, 'question')} each: "
        f"{_counted(preferences[0].n, 'vote')}. {_verdict(preferences)}",
        "Votes are counted as independent; those of one participant or on one picture are often "
        "alike, and then the true intervals are wider.",
        *votes.notes,
    ]
    return "\n".join(lines)


def _check_study(
    methods: Sequence[tuple[str, Pixels]],
    inputs: Pixels,
    names: Sequence[str],
    words: Mapping[str, str],
) -> None:
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
    methods: Sequence[tuple[str, Pixels]],
    inputs: Pixels,
    names: Sequence[str],
    files: Sequence[str],
    question: str,
    title: str,
) -> str:
    """The page; `files` are those of the inputs, then of each method."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    digest = hashlib.sha256(json.dumps([title, question, list(names)]).encode())
    for name, pixels in (("", inputs), *methods):
        digest.update(json.dumps([name, pixels.shape]).encode() + pixels.tobytes())
    pictures = np.array(files).reshape(-1, len(inputs)).T.tolist()
    study = {
        "schema": SCHEMA,
        "id": digest.hexdigest()[:16],
        "title": title,
        "height": inputs.shape[1],
        "width": inputs.shape[2],
        # This blinds participants who glance at the source, not experts who look for it.
        "methods": [base64.b64encode(name.encode()).decode() for name, _ in methods],
        "questions": [
            {"name": name, "input": first, "choices": choices}
            for name, (first, *choices) in zip(names, pictures, strict=True)
        ],
    }
    environment = Environment(
        loader=PackageLoader("tfi2i.evaluate"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
    )
    return environment.get_template("study.html").render(
        study=study, title=title, question=question
    )


def _read_ballot(path: Path) -> _Ballot:
    values = _read_json(path)
    if not isinstance(values, dict) or "study" not in values or "votes" not in values:
        raise InputError(f"{path} is no votes file; give files which the study's page saved.")
    if values.get("schema") != SCHEMA:
        raise InputError(
            f"{path} has the schema {values.get('schema')!r:.40}; this version reads {SCHEMA}."
        )
    if damage := _damage(values):
        raise InputError(f"{path} is damaged: {damage}; ask for the file again.")
    return _Ballot(
        path,
        values["study"],
        tuple(values["methods"]),
        values["participant"],
        datetime.fromisoformat(values["finished"]),
        {vote["question"]: vote["chosen"] for vote in values["votes"]},
    )


def _damage(values: dict[str, Any]) -> str | None:
    """Fault of a votes file's values; None if they can be counted."""
    for key in ("study", "participant"):
        if not isinstance(values.get(key), str) or not _ID.fullmatch(values[key]):
            return f"{key} is no id"
    if not _is_moment(values.get("finished")):
        return "finished is no time with a time zone"
    methods, votes = values.get("methods"), values["votes"]
    if not isinstance(methods, list) or not all(map(_is_method_name, methods)):
        return "methods are no names"
    if not 2 <= len(set(methods)) == len(methods) <= MAX_METHODS:
        return f"methods are not 2 to {MAX_METHODS} different names"
    if not isinstance(votes, list) or not votes or values.get("questions") != len(votes):
        return "there are not as many votes as questions"
    for i, vote in enumerate(votes, 1):
        if not isinstance(vote, dict) or not _is_picture_name(vote.get("question")):
            return f"vote {i} is on no picture"
        shown = vote.get("shown")
        if not isinstance(shown, list) or sorted(map(str, shown)) != sorted(methods):
            return f"vote {i} did not show every method"
        if vote.get("chosen") not in methods:
            return f"vote {i} is for no method of the study"
    if repeated := _repeated([vote["question"] for vote in votes]):
        return f"two votes are on {repeated!r}"
    return None


def _read_json(path: Path) -> Any:
    try:
        if not path.is_file():
            raise InputError(f"There is no votes file {path}; check the path.")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror or error}); check its permissions."
        ) from error
    if len(content) > MAX_BYTES:
        raise InputError(f"{path} is larger than {MAX_BYTES // 2**20} MB; no votes file is.")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, too deep, too long a number
        raise InputError(f"{path} is no JSON; give files which the study's page saved.") from error


def _is_moment(text: Any) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except (TypeError, ValueError):
        return False


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
