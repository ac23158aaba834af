"""The one exception for what a caller can cause and mend, and what others say in short."""


class InputError(ValueError):
    """A bad file, value or setting: one sentence on where, what came and what would do.

    The command line prints the message alone and exits with code 2; a bug keeps its traceback.
    """


def first_line(error: BaseException, longest: int = 200) -> str:
    """The first line of an error's message that says something; its type if none does."""
    lines = str(error).strip().splitlines()
    return (lines[0].strip() if lines else type(error).__name__)[:longest]
