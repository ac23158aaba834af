"""The one exception for what a caller can cause and mend."""


class InputError(ValueError):
    """A bad file, value or setting: one sentence on where, what came and what would do.

    The command line prints the message alone and exits with code 2; a bug keeps its traceback.
    """
