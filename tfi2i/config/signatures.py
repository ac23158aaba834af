"""The signature of a public callable as a table of settings.

Configurations are checked against it and `tfi2i list` prints it, so a setting is declared once: as
an argument with a type, a default and a line in the docstring. Checking values is not left to
jsonargparse, which names no line of the file, suggests no name and takes a key twice.
"""

import contextlib
import difflib
import inspect
import json
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from docstring_parser import google

from tfi2i.terminal import brief

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


class Unfit(ValueError):
    """A value that a setting does not take."""


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


def closest(word: str, words: Iterable[str]) -> str:
    """End of a message about a word that is unknown: the closest known one, or all of them."""
    words = list(words)
    found = difflib.get_close_matches(word, words, 1, 0.5)
    if found:
        return f"did you mean `{found[0]}`?"
    if not words:
        return "there is nothing to set."
    return f"there are {', '.join(f'`{w}`' for w in words)}."


_PLAIN: dict[Any, tuple[Any, Callable[[Any], Any] | None, str]] = {
    int: (int, None, "a whole number"),
    float: (int | float, float, "a number"),
    bool: (bool, None, "true or false"),
    str: (str, None, "text"),
    Path: (str | Path, str, "a path"),
    types.NoneType: (types.NoneType, None, "null"),
}
"""Types of single values: what they take, how it is converted, and how people call it."""
_LISTS = (tuple, list, Sequence)


def fitted(annotation: Any, value: Any) -> Any:
    """The value as the annotation wants it: ints become floats, lists tuples, and no more.

    Raises:
        Unfit: if it is of another type; the message says what is wanted.
    """
    try:
        return _fitted(annotation, value)
    except (Unfit, OverflowError):  # an int beyond the range of float
        raise Unfit(f"takes {wanted(annotation)}") from None


def _fitted(annotation: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if annotation in (Any, REQUIRED):
        return value
    if origin in (typing.Union, types.UnionType):
        # 1 for `float | int` stays an int.
        for choice in sorted(arguments, key=lambda choice: choice is not type(value)):
            with contextlib.suppress(Unfit, OverflowError):
                return _fitted(choice, value)
    # 1 == True in Python; in a configuration they are different values.
    elif origin is Literal:
        if any(value == one and type(value) is type(one) for one in arguments):
            return value
    elif annotation in _PLAIN:
        taken, convert, _ = _PLAIN[annotation]
        if isinstance(value, taken) and isinstance(value, bool) == (annotation is bool):
            return convert(value) if convert else value
    elif origin is dict:
        if isinstance(value, dict):
            item = arguments[1] if arguments else Any
            return {key: _fitted(item, one) for key, one in value.items()}
    elif origin in _LISTS and isinstance(value, list | tuple):
        if origin is not tuple or arguments[-1:] in ((), (...,)):
            arguments = (arguments[0] if arguments else Any,) * len(value)
        if len(arguments) == len(value):
            items = map(_fitted, arguments, value)
            return tuple(items) if origin is tuple else list(items)
    raise Unfit


def takes_text(annotation: Any) -> bool:
    """Whether any text at all fits."""
    choices = typing.get_args(annotation) or (annotation,)
    return typing.get_origin(annotation) is not Literal and any(c in (str, Path) for c in choices)


def wanted(annotation: Any) -> str:
    """Values that an annotation takes, in words: `a whole number`, `text or null`."""
    origin, arguments = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if annotation in _PLAIN:
        return _PLAIN[annotation][2]
    if origin in (typing.Union, types.UnionType):
        words = list(dict.fromkeys(map(wanted, arguments)))
        if "text" in words and "a path" in words:
            words.remove("text")
        return " or ".join(words)
    if origin is Literal:
        return f"one of {', '.join(map(shown, arguments))}"
    if origin is dict:
        return "a mapping"
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        return f"a list of {len(arguments)} values ({', '.join(map(wanted, arguments))})"
    if origin in _LISTS:
        return f"a list of values that are each {wanted(arguments[0])}" if arguments else "a list"
    return "any value"


def shown(value: Any) -> str:
    """A value as YAML writes it, cut if it is long."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return brief(f"[{', '.join(map(shown, value))}]")
    if isinstance(value, dict):
        return brief(f"{{{', '.join(f'{key}: {shown(one)}' for key, one in value.items())}}}")
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return brief(repr(value) if isinstance(value, str | float) else str(value))
