"""Pillow's own words on a file: they would come without its name."""

import logging
import threading
import warnings


class _Silenced:
    """Silences Pillow's own warnings and log while at least one thread is inside.

    `warnings.catch_warnings` alone is not safe here: when two threads that decode pictures leave it
    in another order than they entered, the filters of the whole process stay changed.
    """

    _lock = threading.Lock()
    _inside = 0
    _filters = warnings.catch_warnings()
    _log, _level = logging.getLogger("PIL"), logging.NOTSET

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
                self._level = self._log.level
                self._log.setLevel(logging.CRITICAL + 1)  # without a handler it is on stderr
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)
                self._log.setLevel(self._level)


pillow_silenced = _Silenced()
"""Scope in which Pillow is silent, for any number of threads."""
