"""Child processes: modules of ours run by this Python, and programs that are asked something."""

import contextlib
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO

from tfi2i.terminal import printable

STDERR_TAIL = 1 << 16  # bytes of a child's stderr that are read


@dataclass(frozen=True)
class Finished:
    """End of a child process: its code, the text of its stdout, the last lines of its stderr."""

    code: int  # negative: the signal that ended it
    output: str
    errors: list[str]

    @property
    def end(self) -> str:
        """Way in which it ended: a code, or a signal by name and number."""
        if self.code >= 0:
            return f"stopped with code {self.code}"
        return f"crashed ({signal.strsignal(-self.code)}, signal {-self.code})"

    @property
    def reason(self) -> str:
        """The last line of its stderr, made printable; how it ended if there is none."""
        return printable(self.errors[-1] if self.errors else f"it {self.end}", 300)


def run_module(
    module: str,
    *arguments: object,
    seconds: float | None = None,
    tell: Callable[[], None] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Finished:
    """Runs `python -m MODULE ARGUMENTS`, which finds every module that this process finds.

    It is killed when this call is left early, by Ctrl-C too.

    Args:
        module: Dotted name.
        arguments: Words of the command line.
        seconds: Time limit; none unless given.
        tell: Function called once a second meanwhile.
        variables: Additions to the environment.

    Raises:
        subprocess.TimeoutExpired: It takes longer than `seconds`.
    """
    command = [sys.executable, "-P", "-m", module, *map(str, arguments)]
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": path, **(variables or {})}
    end = time.monotonic() + (math.inf if seconds is None else seconds)
    # Files, since a child of the child may hold a pipe open for ever.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment
        )
        try:
            while child.poll() is None:
                left = end - time.monotonic()
                if seconds is not None and left <= 0:
                    raise subprocess.TimeoutExpired(command, seconds)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(timeout=min(left, 1.0))
                if tell:
                    tell()
        finally:
            child.kill()
            child.wait()
        tail = _read(errors, max(errors.seek(0, os.SEEK_END) - STDERR_TAIL, 0))
        return Finished(child.returncode, _read(output), tail.strip().splitlines())


def answer_of(*command: str, seconds: float) -> str | None:
    """Returns what a program prints; None if it is not there, fails or takes too long."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout.decode(errors="replace")


def _read(file: IO[bytes], start: int = 0) -> str:
    file.seek(start)
    return file.read().decode(errors="replace")
