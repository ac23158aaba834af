"""One case of a target: it ends right, or refused in a sentence; all else is a fault."""

import contextlib
import logging
import os
import random
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfi2i.errors import InputError
from tfi2i.runs.environment import memory_mb

RIGHT, REFUSED, FAULT = "right", "refused", "fault"
LONGEST = 1_000  # characters of a sentence; paths stand in it


@dataclass(frozen=True)
class Outcome:
    """How a case ended, and what was said of it."""

    kind: str
    words: str = ""
    trace: str = ""


@dataclass(frozen=True)
class Target:
    """A kind of artefact and the call that reads it.

    Attributes:
        name: Name in the table.
        make: Function of random numbers and an empty folder: the artefact, mutated.
        read: Call that reads the artefact.
        right: Function of the artefact and of what was read of it; asserts that it is right.
        quick: Cases in `make test`.
        seconds: Time within which a case ends, on a machine with other work.
        megabytes: Memory that a case may take beside what is there.
    """

    name: str
    make: Callable[[random.Random, Path], Any]
    read: Callable[[Any], Any]
    right: Callable[[Any, Any], None] = lambda artefact, value: None
    quick: int = 25
    seconds: float = 20
    megabytes: float = 300


class Late(BaseException):
    """The time of a case is over."""


def tried(target: Target, seed: int, folder: Path) -> Outcome:
    """The outcome of the case of a seed, made in an empty folder."""
    artefact = target.make(random.Random(f"{target.name} {seed}"), folder)
    with tempfile.TemporaryFile("w+", buffering=1, errors="replace") as heard:
        with _listening(heard), _peak() as megabytes, _within(target.seconds):
            outcome = _outcome(target, artefact)
        heard.seek(0)
        lines = heard.read().strip().splitlines()
    taken = megabytes[0]
    if outcome.kind != FAULT and lines:
        return Outcome(FAULT, f"{lines[0][:300]!r} on stderr")
    if outcome.kind != FAULT and taken > target.megabytes:
        return Outcome(FAULT, f"takes {taken:.0f} MB")
    return outcome


def _outcome(target: Target, artefact: Any) -> Outcome:
    try:
        value = target.read(artefact)
    except InputError as error:
        problem = unlike_a_sentence(str(error))
        return _fault(f"{problem}: ", error) if problem else Outcome(REFUSED, str(error))
    except Late as error:
        return _fault(f"takes over {target.seconds:g} s: ", error)
    except Exception as error:
        return _fault("", error)
    try:
        target.right(artefact, value)
    except Exception as error:
        return _fault("wrong: ", error)
    return Outcome(RIGHT)


def unlike_a_sentence(message: str) -> str:
    """What keeps a message from being one sentence for a terminal; empty: nothing."""
    faults = {
        "no full stop": not message.endswith((".", "?")),
        "several lines": "\n" in message,
        "too long": len(message) > LONGEST,
        "a traceback": "Traceback" in message or 'File "' in message,
    }
    return ", ".join(name for name, there in faults.items() if there)


def _fault(about: str, error: BaseException) -> Outcome:
    """A fault with the error, and where in our own code it was raised last."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if any(name in one.filename for name in ("tfi2i", "/fuzz/"))]
    last = [*frames[:1], *own][-1]
    where = f"{Path(last.filename).name}:{last.lineno} {last.name}"
    told = f"{about}{where}: {type(error).__name__}: {str(error)[:300]!r}"
    return Outcome(FAULT, told, "".join(traceback.format_exception(error)))


@contextlib.contextmanager
def _listening(heard: Any) -> Iterator[None]:
    """Sends what comes on stderr, from native code too, to a file; warnings are errors."""
    log, silent = logging.getLogger("tfi2i"), logging.NullHandler()
    sys.stderr.flush()
    kept = os.dup(2)
    log.addHandler(silent)
    try:
        os.dup2(heard.fileno(), 2)
        with contextlib.redirect_stderr(heard), warnings.catch_warnings():
            warnings.simplefilter("error")
            # As in pyproject.toml.
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        log.removeHandler(silent)


@contextlib.contextmanager
def _peak() -> Iterator[list[float]]:
    """Megabytes that are taken inside, known at the end; 0 where Linux does not say."""
    taken = [0.0]
    before = memory_mb(peak=False)
    if before is None:
        yield taken
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    reset = memory_mb(peak=True) or 0.0
    yield taken
    peak = memory_mb(peak=True) or 0.0
    # Where it could not be reset, only what is beyond the old peak can be told.
    taken[0] = peak - before if reset - before < 50 else max(0.0, peak - reset)


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raises `Late` when the time is over, unless native code holds on to it."""

    def late(*_: object) -> None:
        raise Late

    former = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
