"""The one exception for what a caller can cause and mend, and what others say in short."""


class InputError(ValueError):
    """A bad file, value or setting: one sentence on where, what came and what would do.

    The command line prints the message alone and exits with code 2; a bug keeps its traceback.
    """


def first_line(error: BaseException, longest: int = 200) -> str:
    """The first line of an error's message that says something; its type if none does."""
    lines = str(error).strip().splitlines()
    return (lines[0].strip() if lines else type(error).__name__)[:longest]


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
