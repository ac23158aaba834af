"""The command line: what was typed is parsed, done by `tfi2i.verbs`, and ends in an exit code.

Nothing here imports TensorFlow before it is needed: `--help` answers at once.
"""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence

from tfi2i.arguments import parser as arguments_parser
from tfi2i.errors import InputError
from tfi2i.terminal import import_tensorflow, printable


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
        import_tensorflow()
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
    return getattr(importlib.import_module(f"tfi2i.verbs.{module}"), function)


def _failed(message: str, code: int) -> int:
    print(f"tfi2i: error: {printable(message)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
