"""log.txt of a run."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from tfi2i.errors import InputError
from tfi2i.files import full_disk


class _LogFile(logging.FileHandler):
    """A file of a log; that the disk is full ends what is logged, instead of being printed."""

    def __init__(self, path: Path):
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def handleError(self, record):
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            raise full_disk(error, Path(self.baseFilename)) or error
        super().handleError(record)


@contextlib.contextmanager
def logged(path: Path) -> Iterator[None]:
    """Writes what tfi2i logs inside, and what ends it, to a file after what is there."""
    handler = _LogFile(path)
    log = logging.getLogger("tfi2i")
    log.addHandler(handler)
    try:
        yield
    except BaseException as error:
        trace = None if isinstance(error, InputError) else sys.exc_info()
        text = str(error) or type(error).__name__
        with contextlib.suppress(OSError):  # the error itself is raised, and says more
            handler.emit(logging.LogRecord("tfi2i", logging.ERROR, "", 0, text, None, trace))
        raise
    finally:
        log.removeHandler(handler)
        with contextlib.suppress(OSError):
            handler.close()
