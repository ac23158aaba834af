"""Errors of libtiff by the file that Pillow decodes, instead of lines on stderr without its name.

libtiff goes on after some damage, such as that of a fax's lines, and Pillow then says nothing.
"""

import contextlib
import ctypes
import threading
from collections.abc import Iterator
from typing import Any

from PIL import _imaging

_LONGEST = 8  # complaints that are kept of a file

_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
_thread = threading.local()
_lock = threading.Lock()
_inside = 0
_before: Any = None


def _note(module: bytes | None, form: bytes | None, values: Any) -> None:
    found = getattr(_thread, "found", None)
    if found is not None and len(found) < _LONGEST:
        words = (form or b"").decode("ascii", "replace").partition("%")[0]
        found.append(((module or b"").decode("ascii", "replace"), words.rstrip(" ,.:;(")))


_handler = _Handler(_note)


def _set_handler() -> Any:
    """Libtiff's function that exchanges its handler of errors; None where it cannot be reached."""
    try:
        function = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
    except (OSError, AttributeError, TypeError):  # Pillow without it, or with its symbols hidden
        return None
    function.restype, function.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    return function


_exchange = _set_handler()


@contextlib.contextmanager
def complaints() -> Iterator[list[tuple[str, str]]]:
    """The errors of libtiff in this thread: its part's name and the words before any number.

    While any thread is inside, none is printed.
    """
    global _inside, _before
    with _lock:
        if _inside == 0 and _exchange is not None:
            _before = _exchange(ctypes.cast(_handler, ctypes.c_void_p))
        _inside += 1
    outer, _thread.found = getattr(_thread, "found", None), []
    try:
        yield _thread.found
    finally:
        _thread.found = outer
        with _lock:
            _inside -= 1
            if _inside == 0 and _exchange is not None:
                _exchange(_before)


def damage_in(found: list[tuple[str, str]]) -> str | None:
    """The first complaint of a decoder, whose pixels are not what the file's author wrote."""
    return next((words for part, words in found if "Decode" in part), None)
