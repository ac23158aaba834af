"""The command line: what was typed is parsed, done by `tfi2i.commands`, and ends in an exit code.

Nothing here imports TensorFlow before it is needed: `--help` answers at once.
"""

import argparse
import importlib
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence

from tfi2i.arguments import parser as arguments_parser
from tfi2i.errors import InputError

# Lines of level I, the remark that there is no log yet, and that there is no GPU driver (303).
GREETING = re.compile(
    r"I\d{4} |\d{4}-\d\d-\d\d [\d:.]+: I |WARNING: All log messages before absl"
    r"|E.* failed call to cuInit: .*\(303\)"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    parser = arguments_parser()
    arguments = parser.parse_args(argv)
    arguments.typed = list(sys.argv[1:] if argv is None else argv)
    handler = _Terminal()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("tfi2i")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        return _run(parser, arguments)
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


class _Terminal(logging.Handler):
    """Writes to whatever stderr is at the moment: a progress bar puts its own in place of it."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


def _run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    if arguments.verb is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        _import_tensorflow()
        code = _verb(arguments.verb)(arguments)
        sys.stdout.flush()
        return code
    except InputError as error:
        return _failed(str(error), 2)
    except KeyboardInterrupt:
        return _failed("stopped.", 130)
    except BrokenPipeError:
        # The reader (`| head`) has enough. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, a missing permission: nothing a traceback explains
        about = f"{error.filename}: " if error.filename else ""
        return _failed(f"{about}{error.strerror or error}.", 1)


def _verb(name: str) -> Callable[[argparse.Namespace], int]:
    """The function of `module.function`."""
    module, _, function = name.partition(".")
    return getattr(importlib.import_module(f"tfi2i.commands.{module}"), function)


def _import_tensorflow() -> None:
    """Imports TensorFlow without its greetings, unless the user asked for its log.

    It writes them past Python, and since 2.18 before it looks at TF_CPP_MIN_LOG_LEVEL; so the
    file descriptor is redirected meanwhile, and all else that came is passed on.
    """
    if "tensorflow" in sys.modules or "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    # Not 2: TensorFlow 2.21 reports as errors what its own graph rewriting gives up on. What
    # really goes wrong comes as an exception too, and the device in use is logged.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            caught.seek(0)
            for line in caught.read().decode(errors="replace").splitlines():
                if not GREETING.match(line):
                    print(line, file=sys.stderr)


def _failed(message: str, code: int) -> int:
    # A file's name may hold anything, even codes that rewrite the terminal.
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in message)
    print(f"tfi2i: error: {shown}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
