"""YAML text from anyone to plain values and back: the only module that imports yaml.

Narrower than YAML 1.1 on purpose. A number is decimal (`1e-4` is one, `010` is not), only `true`
and `false` are booleans, and what a settings file never needs is refused: duplicate keys, aliases,
tags, nan and inf. Not left to `yaml.safe_load` or jsonargparse: both take a key twice, and neither
tells the line of a wrong value.
"""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tfi2i.errors import InputError
from tfi2i.files import start_of
from tfi2i.terminal import brief, printable

MAX_BYTES = 100_000
MAX_DEPTH = 12

_DIGITS = "[0-9][0-9_]*"
_EXPONENT = "[eE][-+]?[0-9]+"
_FLOAT = re.compile(
    rf"[-+]?(?:{_DIGITS}\.[0-9_]*(?:{_EXPONENT})?|\.{_DIGITS}(?:{_EXPONENT})?|{_DIGITS}{_EXPONENT}"
    r"|\.(?:inf|Inf|INF))$|\.(?:nan|NaN|NAN)$"
)
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$")
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """Composes nodes only; refuses aliases and deep nesting before they cost anything."""

    yaml_implicit_resolvers: dict = {}
    depth = 0

    def compose_node(self, parent, index):
        problem = "" if self.depth < MAX_DEPTH else f"it is nested more than {MAX_DEPTH} deep"
        if self.check_event(yaml.AliasEvent):
            problem = "aliases (*name) are not allowed"
        if problem:
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.add_implicit_resolver(f"{_TAG}bool", re.compile("(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver(f"{_TAG}null", re.compile("(?:null|~|)$"), ["n", "~", ""])
_Loader.add_implicit_resolver(f"{_TAG}int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver(f"{_TAG}float", _FLOAT, list("-+.0123456789"))


class _Dumper(yaml.SafeDumper):
    """Quotes text that this module, or a YAML 1.1 reader, would take for something else."""

    def ignore_aliases(self, data):
        return True


_Dumper.add_implicit_resolver(f"{_TAG}float", _FLOAT, list("-+.0123456789"))
_Dumper.add_representer(tuple, lambda d, v: d.represent_sequence(f"{_TAG}seq", v, flow_style=True))
_Dumper.add_multi_representer(Path, lambda d, v: d.represent_str(str(v)))


@dataclass(frozen=True)
class Document:
    """A parsed file: its values, and the line (1-based) of every key by its path of keys."""

    values: Any
    lines: Mapping[tuple[str, ...], int]
    origin: str

    def where(self, *keys: str) -> str:
        """`configs/x.yaml line 4` for a key that stands in the file, else only the file."""
        line = self.lines.get(keys)
        return f"{self.origin} line {line}" if line else self.origin


def read(path: Path) -> Document:
    """The file's values.

    Raises:
        InputError: for a file that is missing, too large, not UTF-8 or not such YAML.
    """
    raw = start_of(path, MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise InputError(
            f"{path}: is larger than {MAX_BYTES:,} bytes, which no settings file is;"
            " give the path of a .yaml file."
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path} line {line}: byte 0x{raw[error.start]:02x} is not UTF-8;"
            " save the file as UTF-8."
        ) from error
    return parse(text, str(path))


def parse(text: str, origin: str) -> Document:
    """The values of YAML text; `origin` is what error messages call it."""
    lines: dict[tuple[str, ...], int] = {}
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark, parts = None, [str(error).splitlines()[0]]
        if isinstance(error, yaml.MarkedYAMLError):
            mark = error.problem_mark or error.context_mark
            parts = [part for part in (error.context, error.problem) if part]
        line = f" line {mark.line + 1}" if mark else ""
        problem = printable(", ".join(parts), 200)
        raise InputError(f"{origin}{line}: is not valid YAML: {problem}.") from error
    return Document(None if node is None else _value(node, origin, (), lines), lines, origin)


def dump(values: Mapping[str, Any]) -> str:
    """YAML text that `parse` turns into the same values; tuples become lists, paths text."""
    return yaml.dump(
        dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000
    )


def encodable(text: str, where: str) -> str:
    """The text itself, which a path can be; with halves of characters as Python reads file names.

    Raises:
        InputError: It holds a null character, or half a character that no file name has.
    """
    try:
        problem = "a null character" if "\0" in text else ""
        os.fsencode(text)
    except UnicodeEncodeError as error:
        problem = f"half a character ({text[error.start]!a})"
    if problem:
        raise InputError(f"{where}: '{brief(text)}' holds {problem}; leave it out.")
    return text


def _value(node: yaml.Node, origin: str, path: tuple[str, ...], lines: dict) -> Any:
    where = f"{origin} line {node.start_mark.line + 1}"
    text, kind = node.value, node.tag.removeprefix(_TAG)
    if kind not in ("map", "seq", "str", "int", "float", "bool", "null"):
        raise InputError(
            f"{where}: the tag {brief(node.tag)} is not allowed; write the plain value."
        )
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, origin, path, lines)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, origin, path, lines) for item in text]
    if kind == "str":
        return encodable(text, where)
    if kind == "null":
        return None
    if kind == "bool":
        if text in ("true", "false"):
            return text == "true"
        raise InputError(f"{where}: '{brief(text)}' is no boolean; write true or false.")
    try:
        plain = text.lower().replace(".inf", "inf").replace(".nan", "nan")
        number = int(text) if kind == "int" else float(plain)
    except ValueError as error:
        raise InputError(f"{where}: '{brief(text)}' is not a number that can be read.") from error
    if isinstance(number, float) and not math.isfinite(number):
        raise InputError(
            f"{where}: '{brief(text)}' is not a finite number; write an ordinary number."
        )
    return number


def _mapping(node: yaml.Node, origin: str, path: tuple[str, ...], lines: dict) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        where = f"{origin} line {key_node.start_mark.line + 1}"
        scalar = isinstance(key_node, yaml.ScalarNode)
        if not scalar or key_node.tag != f"{_TAG}str":
            came = brief(key_node.value) if scalar else "a list or mapping"
            raise InputError(f"{where}: a key must be a word, but {came} came.")
        here = (*path, key_node.value)
        if key_node.value in values:
            raise InputError(
                f"{where}: `{brief('.'.join(here))}` stands here a second time"
                f" (first in line {lines[here]}); keep one."
            )
        lines[here] = key_node.start_mark.line + 1
        values[key_node.value] = _value(value_node, origin, here, lines)
    return values
