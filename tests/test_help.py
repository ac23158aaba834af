"""A change of the command line shows in help.txt, all help texts at 80 columns.

`.venv/bin/python tests/test_help.py` writes that file anew.
"""

import contextlib
import io
import os
import re
from pathlib import Path
from unittest import mock

from tfi2i.cli import main

COMMITTED = Path(__file__).with_name("help.txt")


def help_text(*verb: str) -> str:
    printed = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(printed):
        main([*verb, "--help"])
    return printed.getvalue()


def help_texts() -> str:
    """Returns the help of the program and of every verb that it names."""
    with mock.patch.dict(os.environ, COLUMNS="80"):
        whole = help_text()
        listed = whole[whole.index("\n  VERB\n") : whole.index("\nBegin here:")]
        verbs = re.findall(r"^ {4}(\S+)", listed, re.MULTILINE)
        return ("\n" + "=" * 80 + "\n").join([whole, *map(help_text, verbs)])


def test_the_help_texts_are_as_committed():
    # Word by word: Python's versions choose the width of the columns differently.
    assert help_texts().split() == COMMITTED.read_text(encoding="utf-8").split()


if __name__ == "__main__":
    COMMITTED.write_text(help_texts(), encoding="utf-8")
