"""Ranges of numbers, given by the annotation of an argument, and values compared with annotations.

    def compile(self, *, learning_rate: Rate = 1e-4, total_steps: Steps = 100_000)

An error in YAML, on the command line and in Python, and `tfi2i list`, all say what stands there.
"""

import argparse
import functools
import inspect
import json
import numbers
import os
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, TypeVar

from tfi2i.errors import InputError
from tfi2i.terminal import brief

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Between:
    """Range of every number in a value, in an annotation: `Annotated[float, Between(0, 1)]`.

    Attributes:
        least: Smallest number.
        most: Largest number.
        ends: True where these two are in the range themselves.
        why: Reason for the smallest number, for a sentence.
        own: True where what takes the value refuses it in Python itself, by a better sentence.
        above: True where the smallest number, but not the largest, is out of the range.
    """

    least: float
    most: float
    ends: bool = True
    why: str = ""
    own: bool = False
    above: bool = False

    def __contains__(self, number: float) -> bool:
        if self.above:
            return self.least < number <= self.most
        if self.ends:
            return self.least <= number <= self.most
        return self.least < number < self.most

    def __str__(self) -> str:
        least, most = (
            f"{round(n):,}" if n == round(n) else f"{n:g}" for n in (self.least, self.most)
        )
        words = f"from {least} to {most}" if self.ends else f"above {least} and below {most}"
        words = f"above {least} and up to {most}" if self.above else words
        return f"{words} ({self.why})" if self.why else words


# of training
Rate = Annotated[float, Between(0, 1, above=True)]
Share = Annotated[float, Between(0, 1)]
Weight = Annotated[float, Between(0, 1_000_000)]
Decay = Annotated[float, Between(0, 1, ends=False)]
Steps = Annotated[int, Between(1, 1_000_000_000)]
AtOnce = Annotated[int, Between(1, 1_000)]
Step = Annotated[int, Between(0, 1_000_000_000)]
Temperature = Annotated[float, Between(0.001, 1_000)]
MOST_PATCHES = 4_096  # of a map, each compared with each

# of networks
ImageSize = Annotated[int | tuple[int, int], Between(1, 8_192)]
Side = Annotated[int, Between(1, 8_192)]
Channels = Annotated[int | dict[str, int], Between(1, 4, own=True)]
Width = Annotated[int, Between(1, 1_024)]
Blocks = Annotated[int, Between(1, 256)]
Depth = Annotated[int, Between(1, 11)]
Features = Annotated[int, Between(1, 8_192)]

# of data
LAST_SEED = 2**32 - 1
Seed = Annotated[int, Between(0, LAST_SEED)]
Count = Annotated[int, Between(1, 1_000_000)]
BatchSize = Annotated[int, Between(1, 4_096)]
MEGAPIXELS = 100  # of a picture, unless the user asks for more
MOST_MEGAPIXELS = 178
Megapixels = Annotated[int, Between(1, MOST_MEGAPIXELS)]
Megabytes = Annotated[int, Between(0, 1_048_576)]


class Unfit(ValueError):
    """A value that an argument does not take."""


class _Outside(Unfit):
    """A value of the right type, with a number out of its range."""


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
        Unfit: if it is of another type or out of range; the message says what is wanted.
    """
    try:
        return _fitted(annotation, value)
    except _Outside:
        raise Unfit(f"takes {wanted(annotation)}") from None
    except (Unfit, OverflowError):  # an int beyond the range of float
        raise Unfit(f"takes {wanted(annotation, ranges=False)}") from None


def _fitted(annotation: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if annotation in (Any, inspect.Parameter.empty):
        return value
    if origin is Annotated:
        made = _fitted(arguments[0], value)
        if not all(number in one for one in _ranges(annotation) for number in _numbers(made)):
            raise _Outside
        return made
    if origin in (typing.Union, types.UnionType):
        outside = False
        # 1 for `float | int` stays an int.
        for choice in sorted(arguments, key=lambda choice: choice is not type(value)):
            try:
                return _fitted(choice, value)
            except (Unfit, OverflowError) as error:
                outside = outside or isinstance(error, _Outside)
        raise _Outside if outside else Unfit
    # 1 == True in Python; in a configuration they are different values.
    if origin is Literal:
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
    if typing.get_origin(annotation) is Annotated:
        return takes_text(typing.get_args(annotation)[0])
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    choices = typing.get_args(annotation) if is_union else (annotation,)
    return any(c in (str, Path) for c in choices)


def wanted(annotation: Any, *, ranges: bool = True) -> str:
    """Values that an annotation takes, in words: `a whole number from 1 to 8`, `text or null`.

    Args:
        annotation: Annotation of an argument.
        ranges: False: types alone.
    """
    origin, arguments = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    words_of = functools.partial(wanted, ranges=ranges)
    if annotation in _PLAIN:
        return _PLAIN[annotation][2]
    if origin is Annotated:
        between = " " if arguments[0] in _PLAIN else ", each "
        said = "".join(f"{between}{one}" for one in arguments[1:] if ranges)
        return words_of(arguments[0]) + said
    if origin in (typing.Union, types.UnionType):
        words = list(dict.fromkeys(map(words_of, arguments)))
        if "text" in words and "a path" in words:
            words.remove("text")
        *first, last = words
        return " or ".join([*(f"{one}," if ", each " in one else one for one in first), last])
    if origin is Literal:
        return f"one of {', '.join(map(shown, arguments))}"
    if origin is dict:
        return "a mapping"
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        return f"a list of {len(arguments)} values ({', '.join(map(words_of, arguments))})"
    if origin in _LISTS:
        if not arguments:
            return "a list"
        return f"a list of values that are each {words_of(arguments[0])}"
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


# arguments in Python


def outside(annotation: Any, value: Any) -> bool:
    """Whether a value passed in Python has a number out of its annotation's range, or is none.

    NumPy's numbers count as numbers, and whole ones such as 1e5 as integers. The types of other
    objects, such as schedules of rates, and of groups, such as sizes, are left to who takes them.
    """
    ranges = list(_ranges(annotation))
    if not ranges or any(one.own for one in ranges):
        return False
    plain = {*_plain_types(annotation)}
    found = list(_numbers(value))
    if isinstance(value, bool) and str in plain:
        return False  # a label
    if isinstance(value, str | bytes | bool | types.NoneType):
        return type(value) not in plain
    if not all(number in one for one in ranges for number in found):
        return True
    return float not in plain and not all(float(number).is_integer() for number in found)


def checked(what: str) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Makes a function refuse keyword arguments out of the range of their annotation.

    It raises an `InputError`.

    Args:
        what: Name of the function for people: "the batches".
    """

    def decorate(function: Callable[_P, _T]) -> Callable[_P, _T]:
        annotations = {
            name: one.annotation for name, one in inspect.signature(function).parameters.items()
        }

        @functools.wraps(function)
        def checking(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            for name, value in kwargs.items():
                annotation = annotations.get(name)
                if outside(annotation, value):
                    choose = wanted(annotation)
                    raise InputError(f"{name} of {what} is {shown(value)}; choose {choose}.")
            return function(*args, **kwargs)

        return checking

    return decorate


def option(annotation: Any) -> Callable[[str], int]:
    """The `type` of an option that takes a whole number in a range."""

    def read(text: str) -> int:
        value = int(text)
        try:
            return fitted(annotation, value)
        except Unfit as error:
            raise argparse.ArgumentTypeError(f"{error}, but {shown(value)} came") from error

    read.__name__ = "int"  # argparse names it where the text is none
    return read


def memory_bytes() -> int | None:
    """Memory of this machine; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def beyond_memory(taken: int) -> str | None:
    """End of a sentence on what takes more bytes than this machine has; None: it does not."""
    there = memory_bytes()
    if there is None or taken <= there:
        return None
    return f"{taken / 2**30:.0f} GiB, and this machine has {there / 2**30:.0f}; choose less."


def _plain_types(annotation: Any) -> Iterator[type]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        yield from map(type, arguments)
    elif origin is None and isinstance(annotation, type):
        yield annotation
    else:
        for one in arguments:
            yield from _plain_types(one)


def _ranges(annotation: Any) -> Iterator[Between]:
    """The ranges inside an annotation."""
    for one in typing.get_args(annotation):
        yield from [one] if isinstance(one, Between) else _ranges(one)


def _numbers(value: Any) -> Iterator[Any]:
    """The numbers inside a value."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from _numbers(one)
    elif isinstance(value, numbers.Real) and not isinstance(value, bool):
        yield value
