"""Children: what they print, how they end, and that they do not outlive their time."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tfi2i.processes import STDERR_TAIL, answer_of, run_module

CHILD = """
import os, signal, sys, time
print("out", *sys.argv[1:], os.environ.get("MOOD"), sep="|")
sys.stderr.write("x" * 100_000 + "\\nnearly\\nlast \\x1b[2J\\n")
sys.stdout.flush(), sys.stderr.flush()
if "die" in sys.argv:
    os.kill(os.getpid(), signal.SIGSEGV)
if "hang" in sys.argv:
    with open(sys.argv[-1] + ".part", "w") as file:
        file.write(str(os.getpid()))
    os.replace(file.name, sys.argv[-1])
    time.sleep(60)
sys.exit(3 if "fail" in sys.argv else 0)
"""


@pytest.fixture
def child(tmp_path, monkeypatch):
    """A module that this process finds by its path alone."""
    (tmp_path / "a_child.py").write_text(CHILD)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "a_child"


def test_a_module_gets_arguments_and_variables(child):
    done = run_module(child, "a b", 7, variables={"MOOD": "good"})
    assert (done.code, done.output) == (0, "out|a b|7|good\n")
    assert done.errors[-2:] == ["nearly", "last \x1b[2J"]
    assert sum(map(len, done.errors)) < STDERR_TAIL


def test_an_end_is_put_in_words(child):
    failed = run_module(child, "fail")
    assert (failed.code, failed.end, failed.reason) == (3, "stopped with code 3", r"last \x1b[2J")
    died = run_module(child, "die")
    assert died.code == -signal.SIGSEGV and died.end == "crashed (Segmentation fault, signal 11)"
    assert run_module("platform").reason == "it stopped with code 0"


def test_a_child_ends_with_its_time_or_with_its_caller(child, tmp_path):
    told = []
    with pytest.raises(subprocess.TimeoutExpired):
        run_module(child, "hang", tmp_path / "slow", seconds=2.5, tell=lambda: told.append(1))
    assert len(told) >= 2

    def stop():
        if (tmp_path / "stopped").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_module(child, "hang", tmp_path / "stopped", tell=stop)
    for name in ("slow", "stopped"):
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / name).read_text()), 0)


def test_a_program_answers_or_it_does_not():
    assert answer_of(sys.executable, "-c", "print('yes')", seconds=20) == "yes\n"
    assert answer_of(sys.executable, "-c", "raise SystemExit(1)", seconds=20) is None
    assert answer_of("/nothing/like/this", seconds=20) is None
    began = time.monotonic()
    assert answer_of(sys.executable, "-c", "import time; time.sleep(30)", seconds=0.5) is None
    assert time.monotonic() - began < 10
