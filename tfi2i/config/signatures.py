"""The signature of a public callable as a table of settings.

Configurations are checked against it and `tfi2i list` prints it, so a setting is declared once: as
an argument with a type, a default and a line in the docstring. Checking values is not left to
jsonargparse, which names no line of the file, suggests no name and takes a key twice.
"""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from docstring_parser import google

REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True)
class Setting:
    """One argument: its name, its type as annotated, its default (or REQUIRED), its doc."""

    name: str
    annotation: Any
    default: Any
    doc: str

    @property
    def required(self) -> bool:
        return self.default is REQUIRED


def settings(
    function: Callable, *, positional: bool = False, without: Iterable[str] = ()
) -> dict[str, Setting]:
    """The configurable arguments of a callable, by name, in its order.

    Args:
        function: Class stands for its constructor.
        positional: True where arguments that may also be passed by position count.
        without: Arguments that code passes, not a user.
    """
    body = function.__init__ if inspect.isclass(function) else function
    docs = _argument_docs(function)
    kinds = {"KEYWORD_ONLY", "POSITIONAL_OR_KEYWORD"} if positional else {"KEYWORD_ONLY"}
    return {
        p.name: Setting(p.name, p.annotation, p.default, docs.get(p.name, ""))
        for p in inspect.signature(body).parameters.values()
        if p.kind.name in kinds and p.name not in {"self", *without}
    }


def _argument_docs(function: Callable) -> dict[str, str]:
    """Documentation of each argument as one line; of a class, its own or its nearest base's."""
    docs = [inspect.getdoc(function)]
    if inspect.isclass(function):
        pairs = ((one, vars(one).get("__init__", one)) for one in reversed(function.__mro__))
        docs = [part.__doc__ for pair in pairs for part in pair]
    return {
        entry.arg_name: " ".join((entry.description or "").split())
        for doc in docs
        for entry in google.parse(doc or "").params
    }
