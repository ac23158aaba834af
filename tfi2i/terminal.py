"""Text, progress bars and the silence of libraries, for a terminal.

It stands low, since what reads strangers' files names them in its errors: rich and TensorFlow are
imported where they are used.
"""

import contextlib
import logging
import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

# Lines of level I, the remark that there is no log yet, and that there is no GPU driver (303).
STARTUP_MESSAGES = re.compile(
    r"I\d{4} |\d{4}-\d\d-\d\d [\d:.]+: I |WARNING: All log messages before absl"
    r"|E.* failed call to cuInit: .*\(303\)"
)

_ALONE = threading.RLock()  # stdout and stderr are the process'


def printable(text: str, longest: int | None = None) -> str:
    """Text on one line that every terminal can show: a file's name may hold any byte.

    Args:
        text: Anything; what cannot be shown becomes a backslash escape, as in Python.
        longest: Number of characters at which it is cut.
    """
    text = text if longest is None else text[: longest + 1]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if longest is None or len(shown) <= longest else f"{shown[: longest - 3]}..."


def _lines(text: str) -> str:
    """Text whose line feeds and tabs stay."""
    return re.sub(r"[^\n\t]+", lambda found: printable(found[0]), text)


class _Printable:
    """A stream on which line feeds and tabs are all that is not `printable`."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(_lines(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def printing() -> Iterator[None]:
    """The scope of a command: whatever it prints, a stranger's text in it moves no cursor."""
    with (
        contextlib.redirect_stdout(cast(TextIO, _Printable(sys.stdout))),
        contextlib.redirect_stderr(cast(TextIO, _Printable(sys.stderr))),
    ):
        yield


def make_console(stderr: bool = False, **settings: Any) -> "Console":
    """Rich's console on stdout or stderr, on which texts are `printable` and styles are styles."""
    from rich import console, segment

    class PrintableConsole(console.Console):
        def render(self, *arguments: Any, **options: Any) -> Iterator[segment.Segment]:
            for one in super().render(*arguments, **options):
                yield one if one.control else segment.Segment(_lines(one.text), one.style)

    stream = sys.stderr if stderr else sys.stdout
    file = stream.stream if isinstance(stream, _Printable) else stream
    return PrintableConsole(**{"file": file, **settings})


def brief(text: str) -> str:
    """A stranger's text for a sentence: printable, cut to 60 characters."""
    return printable(text, 60)


def progress_bar(
    *columns: "ProgressColumn",
    show: bool = True,
    console: "Console | None" = None,
    **settings: Any,
) -> "Progress":
    """Progress bar of rich, drawn on terminals only.

    Args:
        columns: Columns behind the task's description and its bar; otherwise the count and the time
            that remains.
        show: False to draw nothing at all.
        console: Place to draw; stderr unless given.
        settings: Arguments of `rich.progress.Progress`.
    """
    from rich import progress

    console = console or make_console(stderr=True)
    return progress.Progress(
        # A file's name may contain [brackets].
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        *(columns or (progress.MofNCompleteColumn(), progress.TimeRemainingColumn())),
        console=console,
        disable=not (show and console.is_terminal),
        **settings,
    )


def import_tensorflow() -> None:
    """Imports TensorFlow without its start-up messages, unless the user asked for its log.

    It writes them past Python, and since 2.18 before it looks at TF_CPP_MIN_LOG_LEVEL; so the
    output is redirected meanwhile, and all else that came is passed on.
    """
    if "tensorflow" in sys.modules or "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    # Not 2: TensorFlow 2.21 reports as errors what its own graph rewriting gives up on. What
    # really goes wrong comes as an exception too, and the device in use is logged.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with tempfile.TemporaryFile("w+", buffering=1, errors="replace") as caught:
        try:
            with _redirected(caught):
                import tensorflow as tf

                tf.config.list_physical_devices()
        finally:
            caught.seek(0)
            for line in caught.read().splitlines():
                if not STARTUP_MESSAGES.match(line):
                    print(line, file=sys.stderr)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drops what the process prints inside, native code included; exceptions say what matters.

    One thread at a time can be inside.
    """
    with Path(os.devnull).open("w") as nowhere, _redirected(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _redirected(file: TextIO) -> Iterator[None]:
    """Sends what the process prints to an open file; one thread at a time can be inside."""
    with _ALONE:
        sys.stdout.flush()
        sys.stderr.flush()
        kept = {number: os.dup(number) for number in (1, 2)}
        loggers = {log: log.handlers[:] for log in (logging.root, logging.getLogger("tensorflow"))}
        with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            try:
                for number in kept:
                    os.dup2(file.fileno(), number)
                yield
            finally:
                file.flush()
                for number, copy in kept.items():
                    os.dup2(copy, number)
                    os.close(copy)
                # Those that TensorFlow or a converter added write to the file, which closes soon.
                for log, handlers in loggers.items():
                    log.handlers[:] = handlers
