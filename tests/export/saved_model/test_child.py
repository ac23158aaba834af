"""The process that TensorFlow may crash in: warm, replaced when it dies, gone with its parent."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tfi2i_export.saved_model.child import Child


def own_id():
    return [os.getpid()]


def printed_id():
    os.write(1, b"not a reply\n")
    return own_id()


def crashing(marker=None):
    """Yields one reply first; with a marker, a file, only the first time."""
    yield "before"
    if marker is None or not marker.exists():
        if marker:
            marker.touch()
        os.write(2, b"F0000 00:00:00.000000 1 here.cc:1] out of cheese\nlater words\n")
        os.abort()
    yield "after"


class Harm:
    """Runs code where it is unpickled."""

    def __reduce__(self):
        return os.putenv, ("TFI2I_HARM", "done")


def harming():
    return [Harm()]


def failing():
    raise ZeroDivisionError("no bug is hidden")


def giving_signs(path):
    while True:
        path.touch()
        time.sleep(0.02)


def sleeping():
    time.sleep(60)
    return []


@pytest.fixture
def child():
    made = Child()
    yield made
    made.close()


def test_one_process_does_job_after_job(child):
    [first], end = child.replies(own_id)
    assert (first != os.getpid(), end) == (True, None)
    assert child.replies(printed_id) == ([first], None)


def test_a_crash_and_a_bug_are_told_and_the_next_job_gets_another_process(child):
    [first], _ = child.replies(own_id)
    found, end = child.replies(crashing)
    assert found == ["before"]
    assert isinstance(end, ChildProcessError)
    assert str(end) == "The process crashed (Aborted, signal 6): out of cheese"
    [second], end = child.replies(own_id)
    assert (second != first, end) == (True, None)
    assert "stopped with code 1: ZeroDivisionError: no bug is hidden" in str(
        child.replies(failing)[1]
    )


def test_what_an_earlier_job_may_have_damaged_is_tried_in_a_new_process(child, tmp_path):
    child.replies(own_id)
    assert child.replies(crashing, tmp_path / "crashed") == (["before", "after"], None)


def test_a_job_has_its_time(child):
    child.replies(own_id)
    found, end = child.replies(sleeping, seconds=0.5)
    assert (found, str(end), type(end)) == ([], "There is no answer in 0.5 s.", TimeoutError)
    assert child.replies(own_id)[1] is None


def test_it_ends_with_a_parent_that_is_killed_in_the_middle_of_a_job(tmp_path):
    sign = tmp_path / "sign"
    code = (
        "import pathlib, sys, test_child; from tfi2i_export.saved_model.child import CHILD;"
        "CHILD.replies(test_child.giving_signs, pathlib.Path(sys.argv[1]))"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path}

    def wait(for_a_sign):
        end = time.monotonic() + 60
        while sign.exists() != for_a_sign:
            assert time.monotonic() < end
            sign.unlink(missing_ok=True)
            time.sleep(0.5)

    with subprocess.Popen([sys.executable, "-c", code, sign], env=environment) as parent:
        wait(for_a_sign=True)
        parent.kill()
    wait(for_a_sign=False)


def test_a_reply_that_would_run_code_is_the_end_of_the_process(child):
    found, end = child.replies(harming)
    assert found == [] and isinstance(end, ChildProcessError)
    child.replies(own_id)
    assert subprocess.check_output(["printenv"], text=True).count("TFI2I_HARM") == 0
