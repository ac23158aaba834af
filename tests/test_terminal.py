"""Printable text, the progress bar, and how quiet libraries are kept."""

import io
import logging
import os
import subprocess
import sys

import pytest
from rich.console import Console

from tfi2i import cli
from tfi2i.commands import list as list_verb
from tfi2i.terminal import (
    STARTUP_MESSAGES,
    brief,
    make_console,
    printable,
    printing,
    progress_bar,
    quiet,
)

HOSTILE = "a\x1b[2J\x9b31m\u202e.png"
HARMLESS = r"a\x1b[2J\x9b31m\u202e.png"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Bäume [1] ♥.png", "Bäume [1] ♥.png"),
        ("a\x1b[31m\nb\t\u202e", r"a\x1b[31m\nb\t\u202e"),
        (os.fsdecode(b"caf\xe9"), r"caf\udce9"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_text_is_made_printable_by_backslashes(text, shown):
    assert printable(text) == shown and shown.isprintable()


def test_text_is_cut():
    assert printable("x" * 10, 10) == "x" * 10
    assert printable("x" * 11, 10) == "x" * 7 + "..."
    assert printable("\0" * 9, 10) == r"\x00\x0" + "..."
    assert brief("y" * 61) == "y" * 57 + "..."


def test_what_is_printed_inside_is_dropped_and_the_log_goes_on(capfd):
    with quiet():
        print("chatter")
        os.write(2, b"native chatter")
        logging.root.addHandler(logging.StreamHandler(sys.stderr))
    logging.getLogger("tfi2i").warning("heard")
    print("after")
    printed = capfd.readouterr()
    assert printed.out == "after\n"
    assert "Logging error" not in printed.err
    assert "chatter" not in printed.err


def test_a_log_of_tensorflow_that_is_opened_inside_goes_on_outside(capfd):
    log = logging.getLogger("tensorflow")
    with quiet():
        log.addHandler(logging.StreamHandler(sys.stderr))
    log.warning("heard")
    assert "Logging error" not in capfd.readouterr().err


def test_a_bar_is_drawn_on_terminals_alone():
    shown, hidden = io.StringIO(), io.StringIO()
    for out, terminal in ((shown, True), (hidden, False)):
        console = Console(file=out, force_terminal=terminal, width=80)
        with progress_bar(console=console) as bar:
            bar.update(bar.add_task("[red].png", total=7), completed=3)
    assert "[red].png" in shown.getvalue() and "3/7" in shown.getvalue()
    assert hidden.getvalue() == ""
    assert progress_bar(show=False, console=Console(force_terminal=True)).disable


def test_what_a_command_prints_moves_no_cursor(monkeypatch, capsys):
    def say(arguments):
        print(HOSTILE, "\tkept")
        print(HOSTILE, file=sys.stderr)
        sys.stdout.writelines([HOSTILE, "\n"])
        logging.getLogger("tfi2i").warning("%s\n%s", HOSTILE, HOSTILE)
        make_console(width=200, highlight=False).print(HOSTILE, markup=False)
        with progress_bar(console=make_console(stderr=True, force_terminal=True)) as bar:
            bar.add_task(HOSTILE)
        return 0

    monkeypatch.setattr(list_verb, "run", say)
    assert cli.main(["list"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{HARMLESS} \tkept\n" + f"{HARMLESS}\n" * 2
    plain, drawn = said.err[: len(HARMLESS) * 3 + 4], said.err[len(HARMLESS) * 3 + 4 :]
    assert plain == f"{HARMLESS}\n{HARMLESS}\\n{HARMLESS}\n"
    assert r"a\x1b[2J" in drawn and "\x1b[?25l" in drawn  # rich hides the cursor meanwhile
    assert "\x1b[2J" not in drawn


def test_styles_are_styles_on_a_terminal():
    out = io.StringIO()
    with printing():
        console = make_console(file=out, force_terminal=True, width=80, highlight=False)
    console.print(HOSTILE, style="bold", markup=False)
    assert out.getvalue() == f"\x1b[1m{HARMLESS}\x1b[0m\n"


def test_start_up_messages_are_dropped_and_all_else_is_passed_on(tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "import os\n"
        "os.write(2, b'WARNING: All log messages before absl\\nI0000 so what\\n')\n"
        "os.write(2, b'2026-01-01 00:00:00.1: I tensorflow/core/x.cc:1] This is optimized\\n')\n"
        "os.write(2, b'E0000 something is broken\\n')\n"
        "print('said by Python')\n"
        "assert os.environ['TF_CPP_MIN_LOG_LEVEL'] == '3'\n"
        "class config:\n    list_physical_devices = list\n"
    )
    code = "from tfi2i.terminal import import_tensorflow; import_tensorflow(); print('after')"
    variables = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    variables["PYTHONPATH"] = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=variables
    )
    assert done.stdout == "after\n"
    assert done.stderr == "E0000 something is broken\nsaid by Python\n"
    assert not STARTUP_MESSAGES.match("E0000 something is broken")


def test_the_libraries_say_nothing_beside_a_command(tmp_path):
    """TensorFlow's lines on CPU and CUDA, and absl's."""
    words = ["translate", "x", "y", "--out", "z"]
    code = f"import sys; from tfi2i.cli import main; sys.exit(main({words}))"
    variables = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env=variables,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith("tfi2i: error: x: there is no such run")
