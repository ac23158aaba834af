"""A process beside this one in which TensorFlow's C++ runtime may crash, on the CPU.

It imports TensorFlow once, then does one job after another, and ends when this process does. A
crash, or the end of a job's time, ends it sooner; the next job gets a new one.

`python -m tfi2i_export.saved_model.child` is that process: jobs come in and replies go out pickled.
"""

import atexit
import contextlib
import os
import pickle
import re
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, BinaryIO

from tfi2i.processes import Finished

SECONDS = 600.0
"""Time that a job gets, unless told otherwise."""
LONGEST = 400  # characters of another's words in a message

# A parent that has TensorFlow loaded leaves no memory of the GPU.
VARIABLES = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}
VARIABLES["TF_USE_LEGACY_KERAS"] = "1"  # spares the import of Keras, which takes seconds


# All that replies are made of, besides plain values.
_KINDS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.numeric", "_frombuffer"),
    ("tfi2i_export.saved_model.server_session", "Answer"),
    ("tfi2i_export.saved_model.server_session", "SessionError"),
}


class _Replies(pickle.Unpickler):
    """Reader of replies, which a process that a stranger's graph has damaged may have written."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KINDS:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a reply.")
        return super().find_class(module, name)


class Child:
    """The process, from the first job on; asked by one thread at a time."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None

    def replies(
        self, job: Callable[..., Iterable[Any]], *arguments: Any, seconds: float = SECONDS
    ) -> tuple[list[Any], TimeoutError | ChildProcessError | None]:
        """Everything that `job(*arguments)` yields in the process, and what ended that too early.

        Args:
            job: Function of a module.
            arguments: Values that can be pickled, like those it yields.
            seconds: Time for the job, and for the start of a process.
        """
        with self._lock:
            found: list[Any] = []
            end = time.monotonic() + seconds
            is_new = self._process is None
            process = self._process = self._process or self._started()
            assert process.stdin and process.stdout
            late = threading.Timer(seconds, process.kill)
            late.start()
            try:
                process.stdin.write(pickle.dumps((job, arguments)))
                process.stdin.flush()
                while reply := _Replies(process.stdout).load():
                    found += reply
                return found, None
            except (OSError, EOFError, pickle.UnpicklingError):
                death = self._death(process)
                self.close()
                if time.monotonic() >= end:
                    return found, TimeoutError(f"There is no answer in {seconds:g} s.")
                if is_new:
                    return found, ChildProcessError(f"The process {death}")
                # What an earlier job has damaged is no fault of this one.
                return self.replies(job, *arguments, seconds=seconds)
            except BaseException:  # such as Ctrl-C: the replies to come are nobody's
                self.close()
                raise
            finally:
                late.cancel()

    def close(self) -> None:
        """Ends the process, whatever it does."""
        if self._process is not None:
            with contextlib.suppress(OSError), self._errors, self._process as process:
                process.kill()
            self._process = None

    def _started(self) -> subprocess.Popen[bytes]:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **path, **VARIABLES},
            start_new_session=True,  # the terminal's Ctrl-C is for the parent alone
        )

    def _death(self, process: subprocess.Popen[bytes]) -> str:
        """End of the process, and its last words, those of TensorFlow's fatal error first."""
        process.kill()
        code = process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        fatal = [line.partition("] ")[2] for line in lines if re.match(r"F\d{4} .*] ", line)]
        words = (fatal or lines)[-1:]
        return Finished(code, "", lines).end + (f": {words[0][:LONGEST]}" if words else ".")


CHILD = Child()
atexit.register(CHILD.close)


def _work() -> None:
    """Does the jobs that come in until the parent is gone."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a graph prints is no reply
    worker = ThreadPoolExecutor(1)
    with contextlib.suppress(EOFError):
        while True:
            worker.submit(_do, output, *pickle.load(sys.stdin.buffer))
    os._exit(0)  # also out of a job


def _do(output: BinaryIO, job: Callable[..., Iterable[Any]], arguments: tuple[Any, ...]) -> None:
    try:
        for reply in chain(((one,) for one in job(*arguments)), [()]):
            pickle.dump(reply, output)
            output.flush()
    except BaseException:
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    _work()
