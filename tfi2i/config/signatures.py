"""The signature of a public callable as a table of settings.

Configurations are checked against it and `tfi2i list` prints it, so a setting is declared once: as
an argument with a type, a default and a line in the docstring. Checking values is not left to
jsonargparse, which names no line of the file, suggests no name and takes a key twice.
"""

import difflib
import inspect
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
        p.name: Setting(p.name, _hint(body, p.annotation), p.default, docs.get(p.name, ""))
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


def _hint(function: Callable, annotation: Any) -> Any:
    """The type that an annotation, possibly a string, stands for."""
    if annotation is inspect.Parameter.empty:
        return Any
    # Alone, because the return type may be a name that only type checkers import.
    alone = types.SimpleNamespace(__annotations__={"it": annotation})
    return typing.get_type_hints(alone, inspect.unwrap(function).__globals__)["it"]


def closest(word: str, words: Iterable[str]) -> str:
    """End of a message about a word that is unknown: the closest known one, or all of them."""
    words = list(words)
    found = difflib.get_close_matches(word, words, 1, 0.5)
    if found:
        return f"did you mean `{found[0]}`?"
    if not words:
        return "there is nothing to set."
    return f"there are {', '.join(f'`{w}`' for w in words)}."


def fitted(annotation: Any, value: Any) -> Any:
    """The value as the annotation wants it: ints become floats, lists tuples, and no more.

    Raises:
        Unfit: if it is of another type; the message says what is wanted.
    """
    try:
        return _fitted(annotation, value)
    except Unfit:
        raise Unfit(f"takes {wanted(annotation)}") from None


def _fitted(annotation: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in (Any, REQUIRED):
        return value
    if annotation in (None, type(None)):
        return _accept(value is None, None)
    if origin in (typing.Union, types.UnionType):
        return _first_fitting(arguments, value)
    if origin is Literal:
        # 1 == True in Python; in a configuration they are different values.
        return _accept(any(value == a and type(value) is type(a) for a in arguments), value)
    if annotation is float:
        return _accept(isinstance(value, int | float) and not isinstance(value, bool), value, float)
    if annotation is int:
        return _accept(isinstance(value, int) and not isinstance(value, bool), value)
    if annotation in (bool, str):
        return _accept(isinstance(value, annotation), value)
    if annotation is Path:
        return _accept(isinstance(value, str | Path), value, str)
    return _fitted_group(annotation, origin or annotation, arguments, value)


def _fitted_group(annotation: Any, origin: Any, arguments: tuple, value: Any) -> Any:
    """Values of a list, tuple or mapping type."""
    if origin is dict:
        if not isinstance(value, dict):
            raise Unfit
        item = arguments[1] if arguments else Any
        return {key: _fitted(item, one) for key, one in value.items()}
    if not isinstance(value, list | tuple):
        raise Unfit
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(arguments) != len(value):
            raise Unfit
        return tuple(_fitted(item, one) for item, one in zip(arguments, value, strict=True))
    if origin in (tuple, list) or (inspect.isclass(origin) and issubclass(origin, Sequence)):
        item = arguments[0] if arguments else Any
        items = [_fitted(item, one) for one in value]
        return tuple(items) if origin is tuple else items
    raise TypeError(f"{annotation} is not a type that configurations support.")


def _first_fitting(choices: tuple, value: Any) -> Any:
    exact = [choice for choice in choices if choice is type(value)]
    for choice in (*exact, *choices):  # 1 for `float | int` stays an int
        try:
            return _fitted(choice, value)
        except Unfit:
            continue
    raise Unfit


def _accept(fits: bool, value: Any, convert: Callable[[Any], Any] = lambda v: v) -> Any:
    if not fits:
        raise Unfit
    try:
        return convert(value)
    except OverflowError as error:  # an int beyond the range of float
        raise Unfit from error


def takes_text(annotation: Any) -> bool:
    """Whether any text at all fits."""
    choices = typing.get_args(annotation) or (annotation,)
    return typing.get_origin(annotation) is not Literal and any(c in (str, Path) for c in choices)


def wanted(annotation: Any) -> str:
    """Values that an annotation takes, in words: `a whole number`, `text or null`."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    plain = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "text",
        Path: "a path",
        type(None): "null",
        None: "null",
    }
    if annotation in plain:
        return plain[annotation]
    if origin in (typing.Union, types.UnionType):
        words = list(dict.fromkeys(wanted(a) for a in arguments))
        if "text" in words and "a path" in words:
            words.remove("text")
        return " or ".join(words)
    if origin is Literal:
        return f"one of {', '.join(_shown(a) for a in arguments)}"
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        return f"a list of {len(arguments)} values ({', '.join(wanted(a) for a in arguments)})"
    if origin is dict:
        return "a mapping"
    if origin in (tuple, list, Sequence) or annotation in (list, tuple):
        return f"a list of values that are each {wanted(arguments[0])}" if arguments else "a list"
    return "any value"


def shown(value: Any) -> str:
    """A value as YAML writes it, cut if it is long."""
    return brief(_shown(value))


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_shown(v) for v in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k}: {_shown(v)}' for k, v in value.items())}}}"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return repr(value) if isinstance(value, str) else str(value)
