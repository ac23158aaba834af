"""The runner itself: it counts, finds every kind of fault, and says how to try it again."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fuzz.disks import Disk, Killed
from fuzz.outcomes import FAULT, REFUSED, RIGHT, Target, tried
from fuzz.runner import Runner
from tfi2i.errors import InputError


def number(rng, folder):
    (folder / "input").write_text("what was read")
    return rng.random()


def read(value):
    """Crashes for one in four."""
    if value < 0.25:
        os.kill(os.getpid(), signal.SIGSEGV)
    if value < 0.5:
        raise InputError("Too small.")
    return value


def wait(value):
    time.sleep(9)


def fill(value):
    return np.ones(10_000_000).sum()


def shout(value):
    os.write(2, b"libtiff: what is this?\n")


def refuse(words):
    def refusing(value):
        raise InputError(words)

    return refusing


FAULTS = {
    "a traceback": (lambda value: [][1], "IndexError"),
    "an error without a full stop": (refuse("what"), "no full stop"),
    "an error of two lines": (refuse("a\nb."), "several lines"),
    "time": (wait, "takes over 0.2 s"),
    "memory": (fill, "takes "),
    "noise": (shout, "libtiff: what is this"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_kind_of_fault_is_found(name, tmp_path):
    call, words = FAULTS[name]
    outcome = tried(Target(name, number, call, seconds=0.2, megabytes=40), 1, tmp_path)
    assert outcome.kind == FAULT and words in outcome.words


def test_a_wrong_value_is_a_fault(tmp_path):
    def right(value, found):
        assert found == value + 1

    assert tried(Target("x", number, lambda value: value + 1, right), 1, tmp_path).kind == RIGHT
    outcome = tried(Target("x", number, lambda value: value, right), 1, tmp_path)
    assert outcome.kind == FAULT and outcome.words.startswith("wrong: test_runner.py")
    assert tried(Target("x", number, refuse("No.")), 1, tmp_path).kind == REFUSED


TARGETS = {"hostile": Target("hostile", number, read), "plain": Target("plain", number, float)}


def test_a_crash_of_a_child_is_a_fault_that_is_kept(tmp_path, monkeypatch, capsys):
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", ""), *sys.path]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    runner = Runner(TARGETS, tmp_path, (__name__, "TARGETS"))
    seed, ends = 0, []
    while seed < 12:
        for outcome in runner.batch("hostile", seed, 60, most=12 - seed):
            seed += 1
            ends.append(outcome.kind)
    assert len(ends) == 12 and set(ends) == {RIGHT, REFUSED, FAULT}
    assert runner.report() == 1
    said, fault = capsys.readouterr().out, runner.faults[0]
    assert "the process ends: Segmentation fault" in fault.words
    assert f"make fuzz TARGET='hostile' SEED={fault.seed}" in said
    assert (fault.kept / "input").read_text() == "what was read"
    again = list(runner.batch("hostile", fault.seed, 60, most=1))
    assert [one.kind for one in again] == [FAULT]
    monkeypatch.setattr("fuzz.runner.BATCH_SECONDS", 0.1)
    plain = Runner({"plain": TARGETS["plain"]}, tmp_path, (__name__, "TARGETS"))
    plain.run(0.5, 0, show=False)
    assert plain.report() == 0 and plain.counts["plain"].ends[RIGHT] > 1


def test_a_disk_fails_at_the_change_that_was_named(tmp_path):
    def work():
        (tmp_path / "a").write_text("abcd")
        (tmp_path / "a").rename(tmp_path / "b")

    with Disk(tmp_path) as disk:
        work()
    assert disk.changes == ["open a", "write a", "rename a"]
    for way, error, left in (
        ("kill", Killed, {"a": "", "b": "abcd"}),
        ("torn", Killed, {"a": "ab", "b": "abcd"}),
        ("full", OSError, {"a": "ab", "b": "abcd"}),
    ):
        with pytest.raises(error), Disk(tmp_path, way, 1):
            work()
        assert {path.name: path.read_text() for path in tmp_path.iterdir()} == left
    with Disk(tmp_path, "short", 1):
        work()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"b": "abcd"}
