"""Arguments of a system's `__init__` and `compile`: kept under their names, checked, preset."""

import functools
import inspect
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin

from tfi2i.conditions import ANY
from tfi2i.limits import AtOnce, outside, wanted
from tfi2i.pictures.channels import CHANNELS
from tfi2i.pictures.sizes import Size, simplest

KERAS_OPTIONS = {
    "optimizer": None,
    "jit_compile": False,
    "steps_per_execution": 1,
    "run_eagerly": False,
}
"""Arguments of every system's `compile` besides the paper's numbers, as Keras means them."""


def keywords_of(function: Any) -> dict[str, inspect.Parameter]:
    """Keyword-only arguments of a function: those that a user configures."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def keeping(method: Callable[..., Any]) -> Callable[..., Any]:
    """Makes `__init__` or `compile` keep its keywords under their names, checked."""
    keywords = keywords_of(method)
    defaults = {name: parameter.default for name, parameter in keywords.items()}
    annotations = {name: parameter.annotation for name, parameter in keywords.items()}

    @functools.wraps(method)
    def kept(self, **kwargs):  # Keras looks at these names
        if type(self).compile is kept:  # no namespace of it is saved as a part of the model
            options = {name: kwargs.pop(name, usual) for name, usual in KERAS_OPTIONS.items()}
            _check("steps_per_execution", AtOnce, options["steps_per_execution"])
            self.keras_options = SimpleNamespace(**options)
        passed = defaults | {name: kwargs[name] for name in defaults if name in kwargs}
        for name, annotation in annotations.items():
            _check(name, annotation, passed[name])
        if method.__name__ == "__init__":  # Keras takes no attributes before its own `__init__`
            # Those of a subclass win: it is the subclass that is saved and built again.
            self.__dict__["_passed"] = passed | self.__dict__.get("_passed", {})
        else:
            self._keep(passed)
        return method(self, **kwargs)

    return kept


def _check(name: str, annotation: Any, value: Any) -> None:
    """Raises ValueError for an unknown choice and for a number out of its range."""
    known = get_args(annotation)
    if get_origin(annotation) is Literal and value not in known:
        choices = " or ".join(known) if len(known) == 2 else f"one of {', '.join(known)}"
        raise ValueError(f"{name} must be {choices}, received {value!r}.")
    if outside(annotation, value):
        raise ValueError(f"{name} must be {wanted(annotation)}, received {name}={value!r:.60}.")


def with_defaults(method: Callable[..., Any], **defaults: Any) -> Callable[..., Any]:
    """Gives a method other defaults, which its signature shows."""
    signature = inspect.signature(method)
    parameters = [
        parameter.replace(default=defaults.get(parameter.name, parameter.default))
        for parameter in signature.parameters.values()
    ]

    @functools.wraps(method)
    def preset(self, **kwargs):
        return method(self, **defaults | kwargs)

    preset.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return preset


def checked_size(given: Any) -> int | Size:
    """An `image_size` as a number for squares, else (height, width); `ValueError` if it is none."""
    try:
        return simplest(given)
    except (TypeError, ValueError):
        raise ValueError(
            "image_size must be a whole number, or height and width such as (96, 320), received "
            f"image_size={given!r}."
        ) from None


def checked_channels(given: Any, domains: set[Any]) -> int | dict[str, int]:
    """Returns `channels` as a number where all domains have the same, else a number for each.

    Args:
        given: Number, or one by the name of a domain.
        domains: Domains that directions lead from or to; None or `ANY` among them: pictures of all
            domains go through one translator, which takes one number.

    Raises:
        ValueError: They are none, or not those of all domains.
    """
    together = bool(domains & {None, ANY})
    domains = domains - {None, ANY} or {ANY}
    each = dict(given) if isinstance(given, Mapping) else dict.fromkeys(domains, given)
    numbers = [one for one in each.values() if type(one) is int and one in CHANNELS]
    if {*each} != domains or len(numbers) < len(each):
        raise ValueError(
            "channels must be 1, 2, 3 or 4, or one of them for each of "
            f"{', '.join(sorted(map(str, domains)))}, received channels={given!r}."
        )
    if len({*numbers}) == 1:
        return numbers[0]
    if together or len(domains) != 2:
        raise ValueError(
            "channels must be one number for more than two domains, or where one translator takes "
            f"the pictures of all, received channels={given!r}."
        )
    return each
