"""The one exception for what a caller can cause and mend, and what others say in short."""

import difflib
from collections.abc import Iterable

LISTED = 40  # known words that a message names


class InputError(ValueError):
    """A bad file, value or setting: one sentence on where, what came and what would do.

    The command line prints the message alone and exits with code 2; a bug keeps its traceback.
    """


def first_line(error: BaseException, longest: int = 200) -> str:
    """The first line of an error's message that says something; its type if none does."""
    lines = str(error).strip().splitlines()
    return (lines[0].strip() if lines else type(error).__name__)[:longest]


def closest(word: str, words: Iterable[str], mark: str = "`") -> str:
    """End of a message about a word that is unknown: the closest known one, or the known ones.

    Args:
        word: Unknown word.
        words: Known ones, printable.
        mark: Mark around each.
    """
    words = list(words)
    found = difflib.get_close_matches(word, words, 1, 0.5)
    if found:
        return f"did you mean {mark}{found[0]}{mark}?"
    if not words:
        return "there is nothing to set."
    more = " ..." if len(words) > LISTED else ""
    return f"there are {', '.join(f'{mark}{one}{mark}' for one in words[:LISTED])}{more}."


_MEMORY_WORDS = ("oom when allocating", "out of memory", "out_of_memory", "resource_exhausted")


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or the one that it was raised from, says that the memory is not enough.

    TensorFlow is not imported for it; on a GPU it raises errors of several classes.
    """
    while error is not None:
        if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
            return True
        told = str(error).lower() if isinstance(error, Exception) else ""
        if not isinstance(error, InputError | OSError) and any(x in told for x in _MEMORY_WORDS):
            return True
        error = error.__cause__
    return False
